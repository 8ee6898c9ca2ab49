#include "worker/udp_host.hpp"

#include <string_view>

#include "plugin/load.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

using telemetry::Hook;
using telemetry::InHook;

template <class Call>
std::int32_t with_datagrams(appserver_worker* worker, Call&& call) noexcept {
  std::int32_t refusal = APPSERVER_OK;
  net::DatagramServer* const server = worker->host.datagrams().server(refusal);
  return server == nullptr ? refusal : call(*server);
}

}  // namespace

void UdpHost::load(const appserver_plugin& plugin) {
  plugin_ = plugin::read_table<appserver_udp_plugin>(plugin.extension(APPSERVER_UDP));
  if (plugin_ && plugin_->on_datagram == nullptr) plugin_.reset();
}

net::DatagramServer* UdpHost::server(std::int32_t& refusal) const {
  refusal = host_.on_loop() ? APPSERVER_GONE : APPSERVER_INVALID;
  return host_.on_loop() ? server_ : nullptr;
}

bool UdpHost::on_datagram(const appserver_datagram& datagram) {
  host_.forget_error();
  std::int32_t result = APPSERVER_ERROR;
  {
    const InHook in_hook(host_.page(), Hook::on_datagram);
    result = plugin_->on_datagram(host_.self(), &datagram);
  }
  if (result != APPSERVER_OK) host_.log_failure(to_string(Hook::on_datagram));
  return result == APPSERVER_OK;
}

const appserver_udp_host& udp_host_table() {
  static const appserver_udp_host kTable = {
      sizeof(appserver_udp_host),
      0,
      [](appserver_worker* worker, const appserver_udp_peer* peer, appserver_str data) noexcept {
        return with_datagrams(worker, [&](net::DatagramServer& server) {
          return server.send(*peer, std::string_view(data.data, data.size));
        });
      },
      [](appserver_worker* worker) noexcept {
        return with_datagrams(worker, [](net::DatagramServer& server) { return server.hold(); });
      },
      [](appserver_worker* worker) noexcept {
        return with_datagrams(worker, [](net::DatagramServer& server) { return server.release(); });
      },
  };
  return kTable;
}

}  // namespace appserver::worker

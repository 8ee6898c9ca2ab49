// "gateway/1": the clients of a gateway, to the plugin of a business group.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "channel/boot.hpp"
#include "gateway/business.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::worker {

class PluginHost;

// On the loop's thread. Inert in a worker of another group than a business group.
class GatewayHost final {
 public:
  GatewayHost(boost::asio::io_context& context, PluginHost& host, const channel::Boot& boot);
  GatewayHost(const GatewayHost&) = delete;
  GatewayHost& operator=(const GatewayHost&) = delete;

  // Reads the plugin's table; what it lacks is never called.
  void load(const appserver_plugin& plugin);
  bool has_plugin() const { return plugin_.has_value(); }
  // `complain` tells people; `fewer` that is_drained() may have changed.
  void start(std::function<void(const std::string&)> complain, std::function<void()> fewer);
  void add_link(os::Fd socket);
  void begin();
  void drain();
  bool is_drained() const { return !business_ || business_->is_drained(); }
  std::size_t unacknowledged() const { return business_ ? business_->unacknowledged() : 0; }
  void tick();
  // No hook and no answer comes any more.
  void stop() { business_.reset(); }

  // As abi/gateway.h has them.
  std::int32_t client_info(appserver_client_id client, appserver_client_info& info) const;
  std::int32_t tell(const appserver_gateway_command& command);
  std::int32_t ask(const appserver_gateway_command& command, std::uint64_t timeout_ms,
                   appserver_gateway_done done, void* argument, std::uint64_t& request);
  std::int32_t forget(std::uint64_t request);
  std::int32_t acknowledge(const appserver_client_event& event);

 private:
  bool on_event(const gateway::ClientEvent& event);
  std::int32_t call_hook(const gateway::ClientEvent& event, const appserver_client_event& told);
  std::int32_t call_websocket_open(const gateway::ClientEvent& event,
                                   const appserver_client_event& told);
  std::int32_t call_close(const gateway::ClientEvent& event, const appserver_client_event& told);
  void finish(const gateway::Requests::Result& result, appserver_gateway_done done, void* argument);

  boost::asio::io_context& context_;
  PluginHost& host_;
  const channel::Boot& boot_;
  std::optional<appserver_gateway_plugin> plugin_;
  std::unique_ptr<gateway::Business> business_;  // null where there is no gateway
};

// As much as info.size says: a plugin may be older than what is known of a client.
void describe(const gateway::KnownClient& client, appserver_client_info& info);

const appserver_gateway_host& gateway_host_table();

}  // namespace appserver::worker

// "gateway/1": the clients of a gateway, to the plugin of a business group.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "channel/boot.hpp"
#include "gateway/business.hpp"
#include "gateway/dialler.hpp"
#include "gateway/link_keys.hpp"
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
  ~GatewayHost() { stop(); }

  // Reads the plugin's table; what it lacks is never called.
  void load(const appserver_plugin& plugin);
  bool has_plugin() const { return plugin_.has_value(); }
  struct Hooks {
    std::function<void(const std::string&)> complain;
    std::function<void(const std::string&)> note;
    std::function<void()> fewer;  // is_drained() may have changed
    // A link that the supervisor has made has ended, and its gateway worker may live.
    std::function<void(std::uint64_t number)> want_link;
  };
  // `keys`: of a group that connects to a gateway of another daemon; else null.
  void start(Hooks hooks, gateway::LinkKeysPtr keys);
  // Calls it once the gateway workers of other daemons have been looked for, whatever came of it,
  // at the latest after `patience`; at once where there is none to look for.
  void when_looked(std::chrono::milliseconds patience, std::function<void()> looked);
  void renew(gateway::LinkKeysPtr keys);
  void add_link(os::Fd socket, std::uint64_t number);
  void begin();
  void drain();
  bool is_drained() const { return !business_ || business_->is_drained(); }
  std::size_t unacknowledged() const { return business_ ? business_->unacknowledged() : 0; }
  void tick();
  // No hook and no answer comes any more.
  void stop();

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

  // A link that is to be made again.
  struct Lost {
    std::uint64_t number;
    std::chrono::steady_clock::time_point due;
  };
  void lost_link(std::uint64_t number, std::chrono::steady_clock::time_point since);
  void dial(gateway::LinkKeysPtr keys);
  void looked();

  boost::asio::io_context& context_;
  PluginHost& host_;
  const channel::Boot& boot_;
  std::optional<appserver_gateway_plugin> plugin_;
  std::unique_ptr<gateway::Business> business_;  // null where there is no gateway
  std::shared_ptr<gateway::Dialler> dialler_;    // null where it is of this daemon
  Hooks hooks_;
  std::vector<Lost> lost_;
  std::chrono::milliseconds pause_ = gateway::Dialler::kLeastDelay;  // before the next is wanted
  boost::asio::steady_timer patience_{context_};
  std::function<void()> looked_;
  bool has_looked_ = false;
  bool draining_ = false;
};

// As much as info.size says: a plugin may be older than what is known of a client.
void describe(const gateway::KnownClient& client, appserver_client_info& info);

const appserver_gateway_host& gateway_host_table();

}  // namespace appserver::worker

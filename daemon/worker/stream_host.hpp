// "stream/1" between a plugin and the connections of its worker.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/stream.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/stream_server.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::worker {

class PluginHost;

// On the loop's thread, but where it says so.
class StreamHost final : public net::StreamHandler {
 public:
  explicit StreamHost(PluginHost& host) : host_(host) {}

  // Reads the plugin's table; what it lacks is never called.
  void load(const appserver_plugin& plugin);
  bool has_plugin() const { return plugin_.has_value(); }
  void start(net::StreamServer& server) { server_ = &server; }

  bool on_connect(appserver_connection connection) override;
  WebSocketAnswer on_websocket_open(appserver_connection connection,
                                    const appserver_http_request& request) override;
  Outcome on_message(appserver_connection connection, std::uint32_t kind,
                     std::string_view message) override;
  void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                std::string_view text) override;
  void on_buffer_full(appserver_connection connection) override;
  void on_buffer_drain(appserver_connection connection) override;
  std::optional<std::string> on_handover(appserver_connection connection) override;
  bool on_adopt(appserver_connection connection, std::string_view state) override;
  bool has_own_framing() const override;
  std::optional<std::uint64_t> measure(appserver_connection connection,
                                       std::string_view data) override;

  // The host's functions, as the C table calls them: null where they may not be called, with why in
  // `refusal`. [any-thread]
  net::StreamServer* server(std::int32_t& refusal) const;

 private:
  // The plugin's result; what went wrong is logged with the plugin's own words.
  template <class Call>
  std::int32_t result_of(telemetry::Hook hook, Call&& call);

  PluginHost& host_;
  net::StreamServer* server_ = nullptr;  // null in a process that serves nothing
  std::optional<appserver_stream_plugin> plugin_;
};

const appserver_stream_host& stream_host_table();

}  // namespace appserver::worker

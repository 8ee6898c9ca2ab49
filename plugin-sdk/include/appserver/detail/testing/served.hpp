// The serving end of a connection in memory.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/stream.h>

#include <algorithm>
#include <appserver/detail/testing/http_host.hpp>
#include <appserver/detail/testing/wire.hpp>
#include <appserver/detail/text.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::testing {

// The hooks of a connection that the plugin has opened, in place of its own.
class OutboundHooks {
 public:
  OutboundHooks() = default;
  OutboundHooks(const OutboundHooks&) = delete;
  OutboundHooks& operator=(const OutboundHooks&) = delete;
  virtual ~OutboundHooks() = default;
  virtual std::int32_t on_open(appserver_connection connection) = 0;
  virtual std::int32_t on_message(appserver_connection connection, std::uint32_t kind,
                                  appserver_str message) = 0;
  virtual void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                        appserver_str text) = 0;
  virtual void on_buffer_full(appserver_connection connection) = 0;
  virtual void on_buffer_drain(appserver_connection connection) = 0;
};

struct Served {
  std::shared_ptr<Wire> wire;
  appserver_connection id = 0;
  std::shared_ptr<OutboundHooks> outbound = nullptr;  // null of a client's
  void* context = nullptr;
  std::deque<Received> pending = {};  // the client has not taken it
  std::size_t unsent = 0;             // bytes of it
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  appserver_connection pipe_to = 0;
  appserver_connection piped_from = 0;
  std::uint32_t reason = APPSERVER_CLOSED_BY_PLUGIN;
  std::uint16_t code = 0;  // what the client is told
  std::string told = {};
  std::string why = {};
  bool known = false;  // to the plugin: on_close is due
  bool in_turn = false;
  bool paused = false;
  bool full = false;
  bool said_full = false;
  bool closing = false;
  bool aborted = false;
  bool closed = false;  // its on_close runs
};

inline bool is_ending(const Served& served) {
  return served.closing || served.aborted || served.closed;
}

// With 1001; where it has nothing in flight, as here, at once.
inline void end_politely(Served& served) {
  constexpr std::uint16_t kGoingAway = 1001;
  if (is_ending(served)) return;
  served.reason = APPSERVER_CLOSED_DRAINED;
  served.code = kGoingAway;
  served.closing = true;
}

inline void describe(const Served& served, appserver_connection_info& info) {
  const Wire& wire = *served.wire;
  appserver_connection_info facts{};
  facts.size = std::min<std::uint32_t>(info.size, sizeof(facts));
  facts.paused = served.paused ? 1 : 0;
  facts.protocol = appserver::detail::str(protocol_name(wire.protocol));
  facts.remote = appserver::detail::str(wire.remote);
  facts.local = appserver::detail::str(wire.local);
  facts.listener = appserver::detail::str(wire.listener);
  facts.bytes_in = served.bytes_in;
  facts.bytes_out = served.bytes_out;
  facts.unsent = served.unsent;
  facts.subprotocol = appserver::detail::str(wire.subprotocol);
  facts.tls = wire.raw_tls ? wire.raw_tls->raw() : nullptr;
  std::memcpy(&info, &facts, facts.size);
}

// Subprotocols that a request for a WebSocket names.
inline std::vector<std::string_view> offered_protocols(const HttpRequest& request) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : request.headers) {
    if (!detail::equal_ignoring_case(name, "Sec-WebSocket-Protocol")) continue;
    for (std::string_view list = value; !list.empty();) {
      const std::size_t comma = list.find(',');
      names.push_back(detail::trimmed(list.substr(0, comma)));
      list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
  }
  return names;
}

}  // namespace appserver::testing

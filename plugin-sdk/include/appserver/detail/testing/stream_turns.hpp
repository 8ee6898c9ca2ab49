// The turns of StreamHost's connections: what has come is delivered, and what was sent goes out.
#pragma once

#include <algorithm>
#include <appserver/detail/testing/stream_host.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace appserver::testing {

inline bool StreamHost::turn(Served& served) {
  if (served.closed) return false;
  bool any = false;
  served.in_turn = true;
  for (std::size_t i = 0; may_deliver(served) && deliver_next(served); ++i) {
    any = true;
    if (i > Core::kMostTurns) Core::never_rests();
  }
  served.in_turn = false;
  any = flush(served) || any;
  if (served.aborted) {
    served.wire->was_reset = true;
    finish(served, served.reason, served.why);
    return true;
  }
  any = check_buffer(served) || any;
  hear_close(served);
  if (!served.closing || !served.pending.empty()) return any;
  tell_close(served);
  finish(served, served.reason, served.why);
  return true;
}

inline bool StreamHost::flush(Served& served) {
  if (!served.wire->reads || served.pending.empty()) return false;
  served.bytes_out += served.unsent;
  served.unsent = 0;
  for (Received& each : served.pending) served.wire->received.push_back(std::move(each));
  served.pending.clear();
  return true;
}

inline bool StreamHost::check_buffer(Served& served) {
  if (!served.full) return false;
  bool any = false;
  if (served.known && !std::exchange(served.said_full, true)) {
    any = true;
    if (served.outbound) {
      served.outbound->on_buffer_full(served.id);
    } else if (plugin_.on_buffer_full != nullptr) {
      plugin_.on_buffer_full(self_, served.id);
    }
  }
  if (served.unsent > core().options().send_buffer / 4) return any;
  served.full = served.said_full = false;
  if (served.known && served.outbound) {
    served.outbound->on_buffer_drain(served.id);
  } else if (served.known && plugin_.on_buffer_drain != nullptr) {
    plugin_.on_buffer_drain(self_, served.id);
  }
  return true;
}

inline void StreamHost::hear_close(Served& served) {
  const Wire& wire = *served.wire;
  if (!wire.client_closed || !wire.incoming.empty() || !may_deliver(served)) return;
  served.reason = APPSERVER_CLOSED_BY_PEER;
  served.why = wire.client_reason;
  served.code = wire.client_code == 0 ? std::uint16_t{1000} : wire.client_code;
  served.closing = true;
}

inline void StreamHost::tell_close(Served& served) {
  Wire& wire = *served.wire;
  if (wire.protocol != Protocol::kWebSocket || wire.refused != 0) return;
  wire.close_code = served.code == 0 ? std::uint16_t{1000} : served.code;
  wire.close_reason = served.told;
  if (!wire.client_closed) wire.client_code = wire.close_code;
}

inline bool StreamHost::deliver_next(Served& served) {
  Wire& wire = *served.wire;
  if (wire.incoming.empty()) return false;
  if (served.pipe_to != 0) return deliver_piped(served);
  if (wire.protocol == Protocol::kTcp) return deliver_bytes(served);
  const Received message = std::move(wire.incoming.front());
  wire.incoming.pop_front();
  served.bytes_in += framed_size(wire.protocol, message.bytes.size());
  if (message.bytes.size() > core().options().max_message) {
    refuse(served, APPSERVER_CLOSED_LIMIT, "a message over limits.max_message", 1009);
  } else {
    deliver(served, message.bytes, message.is_text);
  }
  return true;
}

inline bool StreamHost::deliver_bytes(Served& served) {
  std::string& bytes = served.wire->incoming.front().bytes;
  const std::size_t most = core().options().max_message;
  std::uint64_t length = std::min(bytes.size(), most);
  if (plugin_.measure != nullptr && !served.outbound) {
    length = 0;
    if (!succeeds("measure",
                  [&] { return plugin_.measure(self_, served.id, detail::str(bytes), &length); })) {
      refuse(served, APPSERVER_CLOSED_PROTOCOL, "what came is no message of tcp", 0);
      return true;
    }
    if (length > most || (length == 0 && bytes.size() > most)) {
      refuse(served, APPSERVER_CLOSED_LIMIT, "a message over limits.max_message", 0);
      return true;
    }
    if (length == 0 || length > bytes.size()) return false;
  }
  const std::string message = bytes.substr(0, static_cast<std::size_t>(length));
  bytes.erase(0, message.size());
  if (bytes.empty()) served.wire->incoming.pop_front();
  served.bytes_in += message.size();
  deliver(served, message, false);
  return true;
}

inline bool StreamHost::deliver_piped(Served& served) {
  const Received bytes = std::move(served.wire->incoming.front());
  served.wire->incoming.pop_front();
  served.bytes_in += bytes.bytes.size();
  Served* const sink = find(served.pipe_to);
  if (sink == nullptr || is_ending(*sink)) {
    served.closing = true;
  } else {
    append(*sink, bytes.bytes, false);
  }
  return true;
}

inline void StreamHost::deliver(Served& served, const std::string& message, bool is_text) {
  const std::uint32_t kind = is_text ? APPSERVER_MESSAGE_TEXT : APPSERVER_MESSAGE_BINARY;
  const auto hooks = served.outbound;
  const std::int32_t result = result_of("on_message", [&] {
    return hooks ? hooks->on_message(served.id, kind, detail::str(message))
                 : plugin_.on_message(self_, served.id, kind, detail::str(message));
  });
  if (result == APPSERVER_OK || result == APPSERVER_FAILED || is_ending(served)) return;
  served.why = "on_message failed";
  served.code = 1011;
  served.closing = true;
}

}  // namespace appserver::testing

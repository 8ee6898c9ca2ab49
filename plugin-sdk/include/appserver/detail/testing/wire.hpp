// Both ends of a connection in memory: what its client has sent and got.
#pragma once

#include <appserver/detail/testing/tls_facts.hpp>
#include <appserver/json.hpp>
#include <appserver/tls.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::testing {

class StreamHost;

enum class Protocol { kWebSocket, kText, kFrame, kTcp };

// A message that a client has got. Of tcp:// the bytes of one send.
struct Received {
  std::string bytes;
  bool is_text = false;
};

struct Wire {
  Protocol protocol = Protocol::kTcp;
  std::string remote = "192.0.2.1:5123";
  std::string local = "198.51.100.1:80";
  std::string listener = {};
  std::string subprotocol = {};
  std::optional<TlsInfo> tls = {};
  std::shared_ptr<const RawTls> raw_tls = {};  // views of `tls`

  StreamHost* host = nullptr;  // null once it has ended
  std::uint64_t id = 0;        // there

  // On the way to the plugin; of tcp:// one piece at most.
  std::deque<Received> incoming = {};
  bool client_closed = false;
  std::uint16_t client_code = 0;
  std::string client_reason = {};

  std::deque<Received> received = {};
  bool reads = true;
  bool was_reset = false;
  std::uint16_t close_code = 0;
  std::string close_reason = {};
  std::uint32_t refused = 0;
  std::string refusal = {};
};

// The next message; over tcp:// all bytes. Nullopt: there is none.
inline std::optional<std::string> take_received(Wire& wire) {
  if (wire.received.empty()) return std::nullopt;
  std::string next = std::move(wire.received.front().bytes);
  wire.received.pop_front();
  while (wire.protocol == Protocol::kTcp && !wire.received.empty()) {
    next += wire.received.front().bytes;
    wire.received.pop_front();
  }
  return next;
}

inline bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = detail::utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

inline const char* protocol_name(Protocol protocol) noexcept {
  constexpr const char* kNames[] = {"websocket", "text", "frame", "tcp"};
  return kNames[static_cast<std::size_t>(protocol)];
}

inline std::string scheme_of(Protocol protocol, bool is_tls) {
  if (protocol == Protocol::kWebSocket) return is_tls ? "wss" : "ws";
  if (protocol == Protocol::kTcp) return is_tls ? "tls" : "tcp";
  return protocol_name(protocol) + std::string(is_tls ? "+tls" : "");
}

// Whether abi/stream.h lets such bytes be one message.
inline bool can_be_message(Protocol protocol, bool is_text, std::string_view bytes) noexcept {
  if (protocol == Protocol::kText)
    return bytes.find('\n') == std::string_view::npos && !bytes.ends_with('\r');
  return protocol != Protocol::kWebSocket || !is_text || is_utf8(bytes);
}

inline std::size_t framed_size(Protocol protocol, std::size_t bytes) noexcept {
  constexpr std::size_t kByte = 125;
  constexpr std::size_t kTwoBytes = 65535;
  switch (protocol) {
    case Protocol::kText:
      return bytes + 1;
    case Protocol::kFrame:
      return bytes + 4;
    case Protocol::kWebSocket:
      return bytes + (bytes <= kByte ? 2U : bytes <= kTwoBytes ? 4U : 10U);
    case Protocol::kTcp:
      break;
  }
  return bytes;
}

// RFC 6455, section 7.4, and what is registered since.
inline bool may_close_with(std::uint32_t code, std::string_view reason) noexcept {
  constexpr std::size_t kMostReason = 123;
  const bool known = code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
  return (known || (code >= 3000 && code <= 4999)) && reason.size() <= kMostReason &&
         is_utf8(reason);
}

}  // namespace appserver::testing

// The client's side of RFC 6455 and RFC 7692, by hand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "support/endpoint.hpp"

namespace appserver::integration {

// What a client asks for.
struct WebSocketWish {
  std::string path = "/";
  std::string protocols{};  // comma-separated; empty: none
  bool deflate = false;
  std::string preamble{};  // bytes before the handshake, of a connection of any kind
};

std::string handshake_of(const Endpoint& endpoint, const WebSocketWish& wish);

enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10
};

std::string masked_frame(Opcode opcode, std::string_view payload, bool fin = true,
                         bool compressed = false);

struct ServerFrame {
  Opcode opcode = Opcode::text;
  bool compressed = false;
  std::string payload;
};
// The first one of what has come, and off it; nullopt where it is not whole. Throws
// std::runtime_error where it is none.
std::optional<ServerFrame> take_frame(std::string& received);

// A message without context takeover. Throw std::runtime_error.
std::string deflated(std::string_view message);
std::string inflated(std::string_view payload);

}  // namespace appserver::integration

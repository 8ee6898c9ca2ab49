// Frames of RFC 6455, section 5. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace appserver::net::websocket {

enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

// The two ends of a connection: what a client sends is masked, what a server sends is not.
enum class Side : std::uint8_t { client, server };

constexpr bool is_control(Opcode opcode) { return static_cast<std::uint8_t>(opcode) >= 8; }

struct FrameHead {
  bool fin = true;
  bool compressed = false;  // RSV1, of permessage-deflate
  Opcode opcode = Opcode::text;
  std::uint64_t length = 0;             // of the payload
  std::array<unsigned char, 4> mask{};  // zeroes of a server's
};

enum class HeadResult { incomplete, whole, malformed };

// The head of a frame, and its size: from 2 to 14 bytes. Malformed: not masked by a client or
// masked by a server, reserved bits or an opcode of nobody, a length that is not written the
// shortest way or over 2^63, a control frame that is in pieces or over 125 bytes.
HeadResult parse_head(std::string_view data, FrameHead& head, std::size_t& size,
                      Side sender = Side::client);

// In place; the payload begins with the first byte of the mask.
void unmask(std::span<char> payload, const std::array<unsigned char, 4>& mask);

// Whole. A client's mask is fresh, and nobody can foresee it (RFC 6455, section 5.3). Throws
// std::runtime_error where the system has no randomness.
void append_frame(std::string& out, Opcode opcode, std::string_view payload,
                  bool compressed = false, Side sender = Side::server);

}  // namespace appserver::net::websocket

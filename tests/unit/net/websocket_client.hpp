// What a WebSocket client sends, made by hand.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "net/websocket/frame.hpp"

namespace appserver::test {

inline std::string client_frame(net::websocket::Opcode opcode, std::string_view payload,
                                bool fin = true, bool compressed = false) {
  constexpr std::array<unsigned char, 4> kMask{0x37, 0xfa, 0x21, 0x3d};
  std::string server;
  net::websocket::append_frame(server, opcode, "");
  std::string out;
  out.push_back(
      static_cast<char>((fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | static_cast<int>(opcode)));
  const std::size_t length = payload.size();
  if (length < 126) {
    out.push_back(static_cast<char>(0x80 | length));
  } else {
    const int extra = length <= 0xffff ? 2 : 8;
    out.push_back(static_cast<char>(0x80 | (extra == 2 ? 126 : 127)));
    for (int i = extra - 1; i >= 0; --i) out.push_back(static_cast<char>(length >> (8 * i)));
  }
  for (const unsigned char byte : kMask) out.push_back(static_cast<char>(byte));
  std::string masked(payload);
  net::websocket::unmask(masked, kMask);
  return out + masked;
}

// A frame of the server's; none of those that are looked at is longer than 64 KiB.
struct ServerFrame {
  net::websocket::Opcode opcode = net::websocket::Opcode::text;
  bool compressed = false;
  std::string payload;
  friend bool operator==(const ServerFrame&, const ServerFrame&) = default;
};

// All whole ones of what came behind the answer to the handshake.
inline std::vector<ServerFrame> server_frames(std::string_view received) {
  std::vector<ServerFrame> frames;
  const auto head_end = received.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return frames;
  received.remove_prefix(head_end + 4);
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(received[i]); };
  while (received.size() >= 2) {
    std::size_t length = byte(1);
    std::size_t skip = 2;
    if (length == 126) {
      if (received.size() < 4) break;
      length = static_cast<std::size_t>(byte(2)) << 8 | byte(3);
      skip = 4;
    }
    if (received.size() < skip + length) break;
    frames.push_back({static_cast<net::websocket::Opcode>(byte(0) & 0x0f), (byte(0) & 0x40) != 0,
                      std::string(received.substr(skip, length))});
    received.remove_prefix(skip + length);
  }
  return frames;
}

inline std::string close_payload(unsigned code, std::string_view reason = {}) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return payload.append(reason);
}

}  // namespace appserver::test

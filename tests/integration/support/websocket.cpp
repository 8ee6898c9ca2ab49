#include "support/websocket.hpp"

#include <zlib.h>

#include <array>
#include <cstddef>
#include <stdexcept>

namespace appserver::integration {

namespace {

constexpr int kRawWindow = -15;
constexpr std::string_view kTail{"\x00\x00\xff\xff", 4};

Bytef* bytes_of(std::string_view text) {
  // zlib reads only, but is older than const.
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

}  // namespace

std::string handshake_of(const Endpoint& endpoint, const WebSocketWish& wish) {
  std::string request = "GET " + wish.path + " HTTP/1.1\r\nHost: " + endpoint.authority() +
                        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n";
  if (!wish.protocols.empty()) request += "Sec-WebSocket-Protocol: " + wish.protocols + "\r\n";
  if (wish.deflate) request += "Sec-WebSocket-Extensions: permessage-deflate\r\n";
  return request + "\r\n";
}

std::string masked_frame(Opcode opcode, std::string_view payload, bool fin, bool compressed) {
  constexpr std::array<unsigned char, 4> kMask{0x5a, 0x01, 0xff, 0x80};
  std::string frame;
  frame.push_back(
      static_cast<char>((fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | static_cast<int>(opcode)));
  const std::size_t size = payload.size();
  const int extra = size < 126 ? 0 : size <= 0xffff ? 2 : 8;
  frame.push_back(static_cast<char>(0x80 | (extra == 0   ? size
                                            : extra == 2 ? std::size_t{126}
                                                         : std::size_t{127})));
  for (int i = extra - 1; i >= 0; --i) frame.push_back(static_cast<char>(size >> (8 * i)));
  for (const unsigned char byte : kMask) frame.push_back(static_cast<char>(byte));
  for (std::size_t i = 0; i < size; ++i)
    frame.push_back(static_cast<char>(static_cast<unsigned char>(payload[i]) ^ kMask[i % 4]));
  return frame;
}

std::optional<ServerFrame> take_frame(std::string& received) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(received[i]); };
  if (received.size() < 2) return std::nullopt;
  if ((byte(0) & 0x30) != 0 || (byte(0) & 0x80) == 0 || (byte(1) & 0x80) != 0)
    throw std::runtime_error("the server sent a frame that it may not send");
  const std::size_t short_length = byte(1);
  const std::size_t extra = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
  if (received.size() < 2 + extra) return std::nullopt;
  std::size_t length = extra == 0 ? short_length : 0;
  for (std::size_t i = 0; i < extra; ++i) length = length << 8 | byte(2 + i);
  if (received.size() - 2 - extra < length) return std::nullopt;
  ServerFrame frame{static_cast<Opcode>(byte(0) & 0x0f), (byte(0) & 0x40) != 0,
                    received.substr(2 + extra, length)};
  received.erase(0, 2 + extra + length);
  return frame;
}

std::string deflated(std::string_view message) {
  z_stream stream{};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kRawWindow, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib: no memory");
  std::string payload(::deflateBound(&stream, static_cast<uLong>(message.size())) + 16, '\0');
  stream.next_in = bytes_of(message);
  stream.avail_in = static_cast<uInt>(message.size());
  stream.next_out = reinterpret_cast<Bytef*>(payload.data());
  stream.avail_out = static_cast<uInt>(payload.size());
  ::deflate(&stream, Z_SYNC_FLUSH);
  const std::size_t size = stream.total_out;
  ::deflateEnd(&stream);
  return payload.substr(0, size - kTail.size());
}

std::string inflated(std::string_view payload) {
  z_stream stream{};
  if (::inflateInit2(&stream, kRawWindow) != Z_OK) throw std::runtime_error("zlib: no memory");
  const std::string whole = std::string(payload).append(kTail);
  stream.next_in = bytes_of(whole);
  stream.avail_in = static_cast<uInt>(whole.size());
  std::string message;
  std::array<char, 16'384> chunk;
  int result = Z_OK;
  do {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    result = ::inflate(&stream, Z_SYNC_FLUSH);
    message.append(chunk.data(), chunk.size() - stream.avail_out);
  } while (result == Z_OK && stream.avail_out == 0);
  const bool whole_read = stream.avail_in == 0;
  ::inflateEnd(&stream);
  if ((result != Z_OK && result != Z_BUF_ERROR) || !whole_read)
    throw std::runtime_error("the server sent what cannot be decompressed");
  return message;
}

}  // namespace appserver::integration

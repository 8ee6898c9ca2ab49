#include "channel/message.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace appserver::channel {
namespace {

struct Header {
  std::uint16_t version;
  std::uint16_t kind;
  std::uint32_t slot;
  std::uint64_t number;
};
static_assert(sizeof(Header) == 16);

class GivenFds final {
 public:
  GivenFds(os::Packet& packet, Message& message) : packet_(packet), message_(message) {}
  GivenFds(const GivenFds&) = delete;
  GivenFds& operator=(const GivenFds&) = delete;
  ~GivenFds() { message_.fds = std::move(packet_.fds); }

 private:
  os::Packet& packet_;
  Message& message_;
};

bool is_known(std::uint16_t kind) {
  const auto is_between = [kind](Kind first, Kind last) {
    return kind >= static_cast<std::uint16_t>(first) && kind <= static_cast<std::uint16_t>(last);
  };
  return is_between(Kind::boot, Kind::gateway_size) || is_between(Kind::ready, Kind::want_link);
}

}  // namespace

os::SendResult send(int socket, const Message& message, const std::vector<int>& fds) {
  const Header header{kVersion, static_cast<std::uint16_t>(message.kind), message.slot,
                      message.number};
  std::array<char, sizeof(Header)> bytes{};
  std::memcpy(bytes.data(), &header, sizeof(header));
  const std::array<std::string_view, 2> parts{std::string_view(bytes.data(), bytes.size()),
                                              std::string_view(message.text).substr(0, kMaxText)};
  return os::send_packet(socket, parts, fds);
}

os::ReceiveResult receive(int socket, Message& message) {
  os::Packet packet;
  // Also where this throws: it is the caller's to close them.
  const GivenFds given(packet, message);
  const os::ReceiveResult result = os::receive_packet(socket, sizeof(Header) + kMaxText, packet);
  if (result != os::ReceiveResult::received) return result;
  Header header{};
  if (packet.data.size() < sizeof(header))
    throw std::runtime_error("a channel message is too short");
  std::memcpy(&header, packet.data.data(), sizeof(header));
  if (header.version != kVersion) {
    throw std::runtime_error(
        fmt::format("a channel message has version {}, this is {}", header.version, kVersion));
  }
  if (!is_known(header.kind))
    throw std::runtime_error(fmt::format("unknown channel message {}", header.kind));
  message.kind = static_cast<Kind>(header.kind);
  message.slot = header.slot;
  message.number = header.number;
  message.text = packet.data.substr(sizeof(header));
  return result;
}

}  // namespace appserver::channel

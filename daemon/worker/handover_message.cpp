#include "worker/handover_message.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "os/memfd.hpp"

namespace appserver::worker {
namespace {

// Raised when the meaning of a message changes.
constexpr std::uint32_t kVersion = 3;
// What a connection may bring in all: its limits, with ample room.
constexpr std::size_t kMaxPayload = std::size_t{1} << 30;

constexpr std::size_t kParts = 5;

struct Head {
  std::uint32_t version = kVersion;
  std::uint8_t kind = 0;  // a Handed::Kind
  std::uint8_t paused = 0;
  std::uint8_t deflate = 0;
  std::uint8_t in_file = 0;                   // the payload is in a memory file
  std::array<std::uint64_t, kParts> sizes{};  // of the payload's parts, in their order
};

std::array<const std::string*, kParts> parts_of(const net::Handed& handed) {
  return {&handed.listener, &handed.subprotocol, &handed.state, &handed.unsent, &handed.received};
}

struct Taken {
  std::uint32_t version = kVersion;
  std::uint32_t count = 0;
};

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// Nullopt where the head says what cannot be, or the sizes are not those of the payload.
std::optional<net::Handed> split(const Head& head, std::string_view payload) {
  using Kind = net::Handed::Kind;
  if (head.kind > static_cast<std::uint8_t>(Kind::websocket)) return std::nullopt;
  net::Handed handed;
  const std::array<std::string*, kParts> parts{&handed.listener, &handed.subprotocol, &handed.state,
                                               &handed.unsent, &handed.received};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (head.sizes[i] > payload.size()) return std::nullopt;
    *parts[i] = payload.substr(0, static_cast<std::size_t>(head.sizes[i]));
    payload.remove_prefix(parts[i]->size());
  }
  if (!payload.empty()) return std::nullopt;
  handed.kind = static_cast<Kind>(head.kind);
  handed.paused = head.paused != 0;
  handed.deflate = head.deflate != 0;
  return handed;
}

}  // namespace

os::SendResult send_handed(int socket, const net::Handed& handed) {
  const auto payload = parts_of(handed);
  Head head;
  head.kind = static_cast<std::uint8_t>(handed.kind);
  head.paused = handed.paused ? 1 : 0;
  head.deflate = handed.deflate ? 1 : 0;
  std::size_t total = 0;
  for (std::size_t i = 0; i < payload.size(); ++i) {
    head.sizes[i] = payload[i]->size();
    total += payload[i]->size();
  }
  if (sizeof(head) + total <= kMaxHandoverMessage) {
    std::array<std::string_view, kParts + 1> parts{bytes_of(head)};
    std::ranges::transform(payload, parts.begin() + 1,
                           [](const std::string* part) { return std::string_view(*part); });
    const int fd = handed.connection.get();
    return os::send_packet(socket, parts, std::span(&fd, 1));
  }
  head.in_file = 1;
  std::string all;
  all.reserve(total);
  for (const std::string* const part : payload) all.append(*part);
  const os::Fd file = os::make_sealed_memfd("appserver-handover", all);
  const std::array<int, 2> fds{handed.connection.get(), file.get()};
  const std::array<std::string_view, 1> parts{bytes_of(head)};
  return os::send_packet(socket, parts, fds);
}

std::optional<net::Handed> read_handed(os::Packet packet) {
  Head head;
  if (packet.data.size() < sizeof(head)) return std::nullopt;
  std::memcpy(&head, packet.data.data(), sizeof(head));
  const bool in_file = head.in_file != 0;
  if (head.version != kVersion || packet.fds.size() != (in_file ? 2 : 1)) return std::nullopt;
  std::string payload = in_file ? os::read_sealed_memfd(packet.fds[1].get(), kMaxPayload)
                                : packet.data.substr(sizeof(head));
  auto handed = split(head, payload);
  if (handed) handed->connection = std::move(packet.fds.front());
  return handed;
}

std::string taken_message(std::uint32_t count) {
  const Taken taken{kVersion, count};
  return std::string(bytes_of(taken));
}

std::optional<std::uint32_t> read_taken(const std::string& message) {
  Taken taken;
  if (message.size() != sizeof(taken)) return std::nullopt;
  std::memcpy(&taken, message.data(), sizeof(taken));
  if (taken.version != kVersion) return std::nullopt;
  return taken.count;
}

}  // namespace appserver::worker

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
// A message that says more than those of kVersion can: with a Tail, and of kinds that they have
// not. Where nothing more is to be said the older form is sent, which older workers take.
constexpr std::uint32_t kWithTail = 4;
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

// Behind the head; its parts are the payload's last ones.
struct Tail {
  std::array<std::uint64_t, 2> sizes{};  // of what a proxy has told: the remote end, the local one
};

bool needs_tail(const net::Handed& handed) {
  return handed.kind == net::Handed::Kind::begun || handed.ends != net::Ends{};
}

struct Taken {
  std::uint32_t version = kVersion;
  std::uint32_t count = 0;
};

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// Off the message; false where it is shorter than that.
template <class T>
bool take(std::string_view& data, T& value) {
  if (data.size() < sizeof(value)) return false;
  std::memcpy(&value, data.data(), sizeof(value));
  data.remove_prefix(sizeof(value));
  return true;
}

// Off the payload; false where it is shorter than that.
bool take_part(std::string_view& payload, std::uint64_t size, std::string& part) {
  if (size > payload.size()) return false;
  part = payload.substr(0, static_cast<std::size_t>(size));
  payload.remove_prefix(part.size());
  return true;
}

// Goes to plugins and into logs as it is.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= net::Ends::kLongest &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7F; });
}

bool take_ends(std::string_view& payload, const Tail& tail, net::Ends& ends) {
  if (!take_part(payload, tail.sizes[0], ends.remote)) return false;
  if (!take_part(payload, tail.sizes[1], ends.local)) return false;
  return ends == net::Ends{} || (is_name(ends.remote) && is_name(ends.local));
}

// Nullopt where the head says what cannot be, or the sizes are not those of the payload.
std::optional<net::Handed> split(const Head& head, const Tail& tail, std::string_view payload) {
  using Kind = net::Handed::Kind;
  const Kind last = head.version == kWithTail ? Kind::begun : Kind::websocket;
  if (head.kind > static_cast<std::uint8_t>(last)) return std::nullopt;
  net::Handed handed;
  const std::array<std::string*, kParts> parts{&handed.listener, &handed.subprotocol, &handed.state,
                                               &handed.unsent, &handed.received};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!take_part(payload, head.sizes[i], *parts[i])) return std::nullopt;
  }
  if (!take_ends(payload, tail, handed.ends) || !payload.empty()) return std::nullopt;
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
  std::size_t total = handed.ends.remote.size() + handed.ends.local.size();
  for (std::size_t i = 0; i < payload.size(); ++i) {
    head.sizes[i] = payload[i]->size();
    total += payload[i]->size();
  }
  const Tail tail{{handed.ends.remote.size(), handed.ends.local.size()}};
  const bool with_tail = needs_tail(handed);
  if (with_tail) head.version = kWithTail;
  head.in_file = sizeof(head) + sizeof(tail) + total > kMaxHandoverMessage ? 1 : 0;

  std::vector<std::string_view> parts{bytes_of(head)};
  if (with_tail) parts.push_back(bytes_of(tail));
  const std::size_t fixed = parts.size();
  for (const std::string* const part : payload) parts.push_back(*part);
  parts.insert(parts.end(), {handed.ends.remote, handed.ends.local});
  if (head.in_file == 0) {
    const int fd = handed.connection.get();
    return os::send_packet(socket, parts, std::span(&fd, 1));
  }
  std::string all;
  all.reserve(total);
  for (const std::string_view part : std::span(parts).subspan(fixed)) all.append(part);
  const os::Fd file = os::make_sealed_memfd("appserver-handover", all);
  const std::array<int, 2> fds{handed.connection.get(), file.get()};
  return os::send_packet(socket, std::span(parts).first(fixed), fds);
}

std::optional<net::Handed> read_handed(os::Packet packet) {
  Head head;
  Tail tail;
  std::string_view data = packet.data;
  if (!take(data, head)) return std::nullopt;
  const bool with_tail = head.version == kWithTail;
  if (!with_tail && head.version != kVersion) return std::nullopt;
  if (with_tail && !take(data, tail)) return std::nullopt;
  const bool in_file = head.in_file != 0;
  if (packet.fds.size() != (in_file ? 2 : 1)) return std::nullopt;
  const std::string file =
      in_file ? os::read_sealed_memfd(packet.fds[1].get(), kMaxPayload) : std::string();
  auto handed = split(head, tail, in_file ? std::string_view(file) : data);
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

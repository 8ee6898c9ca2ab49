// What a worker and the bus say to each other: one packet a message over a SOCK_SEQPACKET pair.
// Both read the other as hostile. The two are of one image, so numbers are the machine's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace appserver::bus {

inline constexpr std::size_t kMaxName = 255;  // of a topic or key; at least 1
inline constexpr std::size_t kMaxValue = std::size_t{64} << 10;
inline constexpr std::size_t kMaxTopics = 1000;  // that one worker subscribes to

enum class Kind : std::uint8_t {
  // Worker to bus. Those from get on are answered by a result with their id.
  subscribe = 1,
  unsubscribe = 2,
  publish = 3,
  get = 4,
  set =
      5,  // number: time to live in milliseconds, 0 for ever; version: what the condition is about
  add = 6,  // number: what is added, signed; version: as set's number, for a key that is made
  erase = 7,
  // Bus to worker.
  deliver = 101,  // number: messages of the topic that were dropped before this one
  result = 102,   // number: the sum; version: the key's
};

enum class Condition : std::uint8_t { none = 0, absent = 1, version = 2 };

enum class Status : std::uint8_t {
  ok = 0,
  not_found = 1,
  conflict = 2,  // the condition does not hold
  full = 3,      // the store's bound
  not_a_number = 4,
};

struct Header {
  Kind kind{};
  std::uint8_t detail = 0;  // of set: Condition; of a result: Status
  std::uint16_t name_size = 0;
  std::uint32_t reserved = 0;
  std::uint64_t id = 0;
  std::uint64_t number = 0;
  std::uint64_t version = 0;
};
static_assert(sizeof(Header) == 32);

inline constexpr std::size_t kMaxPacket = sizeof(Header) + kMaxName + kMaxValue;

// Views into the packet.
struct Message {
  Header header;
  std::string_view name;
  std::string_view value;
};

// Nullopt for what is none: too short or long, an unknown kind, a name that is missing.
std::optional<Message> decode_request(std::string_view packet);
std::optional<Message> decode_reply(std::string_view packet);

std::string encode(Header header, std::string_view name, std::string_view value);

}  // namespace appserver::bus

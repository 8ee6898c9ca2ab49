// What a worker or the bus may get: any bytes are a message or none, and what a message asks of the
// store leaves it within its bound.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bus/protocol.hpp"
#include "bus/store.hpp"

namespace bus = appserver::bus;

namespace {

constexpr std::size_t kBound = 4096;

void apply(bus::Store& store, const bus::Message& message, bus::Time now) {
  const auto time_to_live = [](std::uint64_t count) {
    return bus::milliseconds(static_cast<std::int64_t>(count >> 1));
  };
  const bus::Header& header = message.header;
  const std::string_view owner = header.id % 2 == 0 ? "one" : "two";
  switch (header.kind) {
    case bus::Kind::get:
      store.get(message.name, now);
      break;
    case bus::Kind::set:
      store.set(message.name, message.value, time_to_live(header.number),
                static_cast<bus::Condition>(header.detail), header.version, owner, now);
      break;
    case bus::Kind::add:
      store.add(message.name, static_cast<std::int64_t>(header.number),
                time_to_live(header.version), owner, now);
      break;
    case bus::Kind::erase:
      store.erase(message.name, now);
      break;
    default:
      break;
  }
}

}  // namespace

// The input is cut into packets of as many bytes as a byte before each says.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  bus::Store store(kBound, 1);
  bus::Time now{};
  while (!rest.empty()) {
    const auto wanted = static_cast<std::size_t>(static_cast<unsigned char>(rest.front()));
    rest.remove_prefix(1);
    const std::string_view packet = rest.substr(0, wanted);
    rest.remove_prefix(packet.size());
    static_cast<void>(bus::decode_reply(packet));
    if (const auto message = bus::decode_request(packet)) apply(store, *message, now);
    if (store.bytes() > kBound || (store.size() == 0) != (store.bytes() == 0)) std::abort();
    now += bus::milliseconds(1);
  }
  return 0;
}

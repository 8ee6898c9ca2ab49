// The framings of connections that carry messages: whatever comes is cut into messages that can be
// sent, and come out of that as the same ones.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/stream/framing.hpp"

using namespace appserver::net::stream;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  constexpr std::size_t kMax = 1024;
  if (size == 0) return 0;
  const auto framing = static_cast<Framing>(bytes[0] % 3U);
  std::string_view data(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  while (!data.empty()) {
    const Cut found = cut(framing, data, kMax, 0);
    if (found.kind != Cut::Kind::message) return 0;
    if (found.size == 0 || found.size > data.size() || found.message.size() > kMax) std::abort();
    if (can_append(framing, found.message, kMax)) {
      std::string again;
      append(again, framing, found.message);
      if (again.empty()) break;
      const Cut second = cut(framing, again, kMax, 0);
      if (second.kind != Cut::Kind::message || second.message != found.message) std::abort();
    }
    data.remove_prefix(found.size);
  }
  return 0;
}

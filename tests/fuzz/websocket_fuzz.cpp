// WebSocket frames from a client that sends whatever it likes: cut anywhere, they make the same
// events, and no message is over the limit or no text.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "net/websocket/message_reader.hpp"
#include "net/websocket/upgrade.hpp"

using namespace appserver::net::websocket;
using Kind = Event::Kind;

namespace {

constexpr std::size_t kMax = 4096;

void require(bool good) {
  if (!good) std::abort();
}

struct Seen {
  Kind kind;
  std::string text;
  std::uint16_t code;
  friend bool operator==(const Seen&, const Seen&) = default;
};

std::vector<Seen> read(std::string_view data, std::size_t step, Deflate* deflate) {
  MessageReader reader(kMax, deflate);
  std::vector<Seen> seen;
  std::string input;
  while (!data.empty()) {
    input.append(data.substr(0, step));
    data.remove_prefix(std::min(step, data.size()));
    for (;;) {
      const Event event = reader.next(input);
      if (event.kind == Kind::incomplete) break;
      seen.push_back({event.kind, std::string(event.text), event.code});
      if (event.kind == Kind::message) {
        require(event.text.size() <= kMax);
        require(!event.is_text || is_utf8(event.text));
      }
      if (event.kind == Kind::failed || event.kind == Kind::close) return seen;
      require(event.size > 0 && event.size <= input.size());
      input.erase(0, event.size);
      reader.forget();
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size < 2) return 0;
  static Deflate deflate;
  Deflate* const agreed = (bytes[0] & 1U) != 0 ? &deflate : nullptr;
  const std::size_t step = 1 + bytes[1] % 64U;
  const std::string_view data(reinterpret_cast<const char*>(bytes) + 2, size - 2);
  require(read(data, step, agreed) == read(data, data.size() + 1, agreed));
  offered_protocols(data);
  offers_deflate(data);
  return 0;
}

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "net/stream/framing.hpp"

using namespace appserver::net::stream;
using Kind = Cut::Kind;

namespace {

constexpr std::size_t kMax = 100;

// All messages of the data, with what is left of it.
struct Messages {
  std::vector<std::string> all;
  std::string_view rest;
  Kind end = Kind::incomplete;
};

Messages take(Framing framing, std::string_view data) {
  Messages taken;
  while (!data.empty()) {
    const Cut found = cut(framing, data, kMax, 0);
    taken.end = found.kind;
    if (found.kind != Kind::message) break;
    taken.all.emplace_back(found.message);
    data.remove_prefix(found.size);
  }
  taken.rest = data;
  return taken;
}

std::string framed(Framing framing, std::string_view message) {
  std::string out;
  append(out, framing, message);
  return out;
}

}  // namespace

TEST_CASE("a line ends with LF or CR LF, and may be empty") {
  const Messages taken = take(Framing::text, "one\ntwo\r\n\n\r\nth\rree\nfou");
  CHECK(taken.all == std::vector<std::string>{"one", "two", "", "", "th\rree"});
  CHECK(taken.rest == "fou");
  CHECK(taken.end == Kind::incomplete);
}

TEST_CASE("a line may have as many bytes as a message, its end not counted") {
  const std::string longest(kMax, 'x');
  CHECK(take(Framing::text, longest + "\n").all.size() == 1);
  CHECK(take(Framing::text, longest + "\r\n").all.size() == 1);
  CHECK(take(Framing::text, longest + "\r").end == Kind::incomplete);
  CHECK(take(Framing::text, longest + "y\n").end == Kind::too_long);
  CHECK(take(Framing::text, longest + "yy").end == Kind::too_long);
}

TEST_CASE("bytes are taken on whatever the limit says") {
  const Cut found = cut(Framing::raw, "ab", 0, 0);
  CHECK(found.kind == Kind::message);
  CHECK(found.size == 1);
}

TEST_CASE("what was looked at before is not looked at again") {
  CHECK(cut(Framing::text, "a\nb", kMax, 2).kind == Kind::incomplete);
}

TEST_CASE("a frame's length counts itself, and is cut as soon as it is whole") {
  const std::string two = framed(Framing::frame, "hello") + framed(Framing::frame, "");
  CHECK(two.substr(0, 4) == std::string("\0\0\0\x09", 4));
  CHECK(take(Framing::frame, two).all == std::vector<std::string>{"hello", ""});
  for (std::size_t size = 1; size < 9; ++size)
    CHECK(take(Framing::frame, two.substr(0, size)).end == Kind::incomplete);
}

TEST_CASE("a frame that could not be one is told from one that is too long") {
  CHECK(take(Framing::frame, std::string("\0\0\0\3", 4)).end == Kind::malformed);
  CHECK(take(Framing::frame, std::string("\0\0\0\0", 4)).end == Kind::malformed);
  CHECK(take(Framing::frame, std::string("\0\0\0\x69", 4)).end == Kind::too_long);
  CHECK(take(Framing::frame, std::string("\xff\xff\xff\xff", 4)).end == Kind::too_long);
  CHECK(take(Framing::frame, std::string("\0\0\0\x68", 4) + std::string(kMax, 'x')).all.size() ==
        1);
}

TEST_CASE("without framing everything that has come is a message, in pieces where it is too long") {
  const Messages taken = take(Framing::raw, std::string(250, 'x'));
  REQUIRE(taken.all.size() == 3);
  CHECK(taken.all[0].size() == 100);
  CHECK(taken.all[2].size() == 50);
}

TEST_CASE("what can be sent comes out as the same message") {
  for (const Framing framing : {Framing::text, Framing::frame}) {
    for (const std::string_view message : {"", "x", "a\rb", "caf\xc3\xa9"}) {
      REQUIRE(can_append(framing, message, kMax));
      CHECK(take(framing, framed(framing, message)).all ==
            std::vector<std::string>{std::string(message)});
    }
  }
}

TEST_CASE("what would come out as another message is refused") {
  CHECK_FALSE(can_append(Framing::text, "a\nb", kMax));
  CHECK_FALSE(can_append(Framing::text, "a\r", kMax));
  CHECK(can_append(Framing::frame, "a\nb\r", kMax));
  for (const Framing framing : {Framing::text, Framing::frame, Framing::raw}) {
    CHECK(can_append(framing, std::string(kMax, 'x'), kMax));
    CHECK_FALSE(can_append(framing, std::string(kMax + 1, 'x'), kMax));
  }
}

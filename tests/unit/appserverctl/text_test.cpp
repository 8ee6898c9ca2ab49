#include "appserverctl/text.hpp"

#include <catch2/catch.hpp>
#include <limits>

using namespace appserver::appserverctl;
using namespace std::chrono_literals;

TEST_CASE("counts are short and keep three digits") {
  REQUIRE(human_count(0) == "0");
  REQUIRE(human_count(9'999) == "9999");
  REQUIRE(human_count(12'444) == "12.4k");
  REQUIRE(human_count(999'940) == "1.0M");
  REQUIRE(human_count(999'400) == "999k");
  REQUIRE(human_count(12'400'000) == "12.4M");
  REQUIRE(human_count(std::numeric_limits<std::uint64_t>::max()) == "18.4E");
}

TEST_CASE("sizes are in powers of 1024") {
  REQUIRE(human_bytes(0) == "0B");
  REQUIRE(human_bytes(1023) == "1023B");
  REQUIRE(human_bytes(1536) == "1.5K");
  REQUIRE(human_bytes(141ull << 20) == "141M");
  REQUIRE(human_bytes(1181116006) == "1.1G");
}

TEST_CASE("durations have two units at most") {
  REQUIRE(human_duration(0s) == "0s");
  REQUIRE(human_duration(59s) == "59s");
  REQUIRE(human_duration(252s) == "4m12s");
  REQUIRE(human_duration(3h + 7min + 59s) == "3h07m");
  REQUIRE(human_duration(74h) == "3d02h");
  REQUIRE(human_duration(-5s) == "0s");
  REQUIRE(human_span(440ms) == "0.4s");
  REQUIRE(human_span(59'949ms) == "59.9s");
  REQUIRE(human_span(59'960ms) == "1m00s");
  REQUIRE(human_span(251'600ms) == "4m12s");
  REQUIRE(since_start(312ms) == "+0.31s");
}

TEST_CASE("nothing that steers a terminal gets through") {
  REQUIRE(escaped("a\x1b[31mb") == "a\\x1b[31mb");
  REQUIRE(escaped("bell\a del\x7f nul") == "bell\\x07 del\\x7f nul");
  REQUIRE(escaped("\xc2\x9b"
                  "2J") == "\\xc2\\x9b2J");
  REQUIRE(escaped("a\r\n\tb") == "a\\x0d\\n\\tb");
  REQUIRE(escaped("\xe2\x80\xae") == "\\xe2\\x80\\xae");
  REQUIRE(escaped("\x9b\xff\xc3") == "\\x9b\\xff\\xc3");
  REQUIRE(escaped("\xc0\xaf\xed\xa0\x80\xf5") == "\\xc0\\xaf\\xed\\xa0\\x80\\xf5");
}

TEST_CASE("printable text stays as it is") {
  REQUIRE(escaped("größe 漢字 😀 \\x") == "größe 漢字 😀 \\x");
  REQUIRE(width("größe 漢字") == 8);
}

TEST_CASE("text of several lines stays so, indented, and harmless") {
  REQUIRE(escaped_text("one\ntwo\x1b\n") == "one\n    two\\x1b");
}

#include "telemetry/line_splitter.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using appserver::telemetry::LineSplitter;

namespace {

using Lines = std::vector<std::string>;

// What comes out when `text` arrives `step` bytes at a time and then ends.
Lines split(std::string_view text, std::size_t step, std::size_t limit) {
  LineSplitter splitter(limit);
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  for (std::size_t at = 0; at < text.size(); at += step) splitter.feed(text.substr(at, step), keep);
  splitter.finish(keep);
  return lines;
}

}  // namespace

TEST_CASE("lines come out the same however the bytes arrive") {
  const std::string text = "one\n\ntwo\r\n a longer third line\nlast";
  const std::size_t step = GENERATE(1U, 2U, 3U, 7U, 100U);
  REQUIRE(split(text, step, 64) == Lines{"one", "", "two", " a longer third line", "last"});
}

TEST_CASE("a line over the limit comes in pieces and nothing of it is lost") {
  const std::size_t step = GENERATE(1U, 3U, 5U, 100U);
  REQUIRE(split("abcdefghij\nk\n", step, 4) == Lines{"abcd", "efgh", "ij", "k"});
}

TEST_CASE("a line of exactly the limit is one line") {
  const std::size_t step = GENERATE(1U, 3U, 100U);
  REQUIRE(split("abcd\n\nefgh\n", step, 4) == Lines{"abcd", "", "efgh"});
}

TEST_CASE("without a newline nothing is delivered until the end or the limit") {
  LineSplitter splitter(8);
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  splitter.feed("1234567", keep);
  REQUIRE(lines.empty());
  splitter.feed("89", keep);
  REQUIRE(lines == Lines{"12345678"});
  splitter.finish(keep);
  splitter.finish(keep);
  REQUIRE(lines == Lines{"12345678", "9"});
}

#include "net/complaints.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using appserver::net::Complaints;

namespace {

struct Told {
  std::vector<std::string> lines;
  Complaints complaints{[this](const std::string& line) { lines.push_back(line); }};
  Complaints::Clock::time_point start = Complaints::Clock::now();
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("of a flood of complaints one a second is told, with how many there were") {
  Told told;
  told.complaints.add("a", told.start);
  for (int i = 0; i < 5; ++i) told.complaints.add("b", told.start + 100ms);
  told.complaints.tick(told.start + 900ms);
  CHECK(told.lines == Lines{"a"});
  told.complaints.tick(told.start + 1s);
  CHECK(told.lines == Lines{"a", "b (5 such lines in a second)"});
  told.complaints.tick(told.start + 9s);
  CHECK(told.lines.size() == 2);
}

TEST_CASE("what was held back is not lost at the end") {
  Told told;
  told.complaints.add("a", told.start);
  told.complaints.tell_rest();
  CHECK(told.lines == Lines{"a"});
  told.complaints.add("b", told.start + 1ms);
  told.complaints.tell_rest();
  CHECK(told.lines == Lines{"a", "b"});
}

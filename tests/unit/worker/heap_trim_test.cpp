#include "worker/heap_trim.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

using appserver::worker::HeapTrim;
using namespace std::chrono_literals;

namespace {

struct Trimmed {
  // A tick later.
  void pass(std::size_t connections) {
    now += 100ms;
    trim.look(connections, now);
  }
  void pass_for(std::size_t connections, std::chrono::milliseconds time) {
    for (; time.count() > 0; time -= 100ms) pass(connections);
  }

  int times = 0;
  HeapTrim trim{[this] { ++times; }};
  HeapTrim::Clock::time_point now{1h};
};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::size_t resident() {
  std::size_t size = 0;
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> size >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}
#endif

}  // namespace

TEST_CASE("memory goes back as a storm of connections goes, and once more for the rest of it") {
  Trimmed worker;
  worker.pass(10'000);
  worker.pass(9'500);
  CHECK(worker.times == 0);
  worker.pass(8'000);
  worker.pass(6'000);
  worker.pass(5'900);
  worker.pass(400);
  CHECK(worker.times == 3);
  worker.pass_for(0, HeapTrim::kApart - 200ms);
  CHECK(worker.times == 3);
  worker.pass_for(0, 500ms);
  CHECK(worker.times == 4);
  worker.pass_for(0, 10 * HeapTrim::kApart);
  CHECK(worker.times == 4);
}

TEST_CASE("connections that come while many go do not hold up what goes back") {
  Trimmed worker;
  worker.pass(10'000);
  for (std::size_t left = 10'000; left > 0; left -= 100) {
    worker.pass(left - 100);
    worker.pass(left - 50);
  }
  CHECK(worker.times >= 9);
  CHECK(worker.times <= 10);
}

TEST_CASE("few connections that come and go cost nothing") {
  Trimmed worker;
  for (int i = 0; i < 1'000; ++i) worker.pass(i % 2 == 0 ? 999 : 0);
  CHECK(worker.times == 0);
}

TEST_CASE("a number of connections that goes up and down gives memory back now and then only") {
  Trimmed worker;
  for (int i = 0; i < 600; ++i) worker.pass(i % 2 == 0 ? 10'000 : 5'000);
  CHECK(worker.times >= 5);
  CHECK(worker.times <= 7);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("what lies below memory in use goes back to the system, too") {
  constexpr std::size_t kConnections = 5'000;
  constexpr std::size_t kEach = 14'000;
  std::vector<std::unique_ptr<char[]>> held;
  for (std::size_t i = 0; i < kConnections; ++i) {
    held.push_back(std::make_unique<char[]>(kEach));
    std::memset(held.back().get(), 1, kEach);
  }
  const auto in_use = std::make_unique<char[]>(kEach);
  const std::size_t height = resident();
  HeapTrim trim;
  trim.look(kConnections);
  held.clear();
  REQUIRE(resident() > height - kConnections * kEach / 4);
  trim.look(0);
  CHECK(resident() < height - kConnections * kEach * 3 / 4);
}
#endif

#include "supervisor/health.hpp"

#include <catch2/catch.hpp>

using namespace appserver;
using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

const Time kStart{1h};

config::Recycle limits(std::uint64_t requests, std::uint64_t memory, milliseconds lifetime) {
  config::Recycle result;
  result.max_requests = requests;
  result.max_memory.value = memory;
  result.max_lifetime = lifetime;
  return result;
}

}  // namespace

TEST_CASE("a worker is recycled when it reaches a limit, not before, and the reason says which") {
  const std::uint64_t mebibyte = 1ull << 20;
  CHECK_FALSE(why_recycle(limits(1000, 0, 0ms), {999, 0, 0ms}));
  CHECK(why_recycle(limits(1000, 0, 0ms), {1000, 0, 0ms}) == "max_requests (1000) reached");
  CHECK_FALSE(why_recycle(limits(0, 64 * mebibyte, 0ms), {0, 64 * mebibyte - 1, 0ms}));
  CHECK(why_recycle(limits(0, 64 * mebibyte, 0ms), {0, 70 * mebibyte, 0ms}) ==
        "max_memory (64 MiB) reached: 70 MiB");
  CHECK_FALSE(why_recycle(limits(0, 0, 60s), {0, 0, 59'999ms}));
  CHECK(why_recycle(limits(0, 0, 60s), {0, 0, 60s}) == "max_lifetime (60 s) reached");
}

TEST_CASE("a worker without limits is never recycled") {
  CHECK_FALSE(why_recycle(limits(0, 0, 0ms), {1ull << 60, 1ull << 60, 1000h}));
}

TEST_CASE("while we look in time, old heartbeats speak against workers") {
  OwnStall stall;
  CHECK(stall.is_over(kStart, 30s));
  Time now = kStart;
  for (int look = 0; look < 10; ++look) {
    stall.look(now);
    CHECK(stall.is_over(now, 30s));
    now += 2 * kHealthInterval;
  }
}

TEST_CASE("after we stood still ourselves, workers get hang_timeout to show that they live") {
  OwnStall stall;
  stall.look(kStart);
  Time now = kStart + 10min;
  stall.look(now);
  CHECK_FALSE(stall.is_over(now, 30s));
  CHECK_FALSE(stall.is_over(now + 29s, 30s));
  CHECK(stall.is_over(now + 30s, 30s));
  SECTION("and again when it happens again") {
    now += 31s;
    stall.look(now);
    CHECK_FALSE(stall.is_over(now, 30s));
  }
}

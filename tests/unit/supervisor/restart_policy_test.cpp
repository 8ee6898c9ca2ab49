#include "supervisor/restart_policy.hpp"

#include <catch2/catch.hpp>

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

const Time kStart{1h};
constexpr double kMost = 0.999999;

}  // namespace

TEST_CASE("the first crash is answered at once, the next ones after a wait that doubles") {
  RestartPolicy policy;
  Time now = kStart;
  CHECK(policy.failed(now, 0.5) == 0ms);
  milliseconds full = RestartPolicy::kBase;
  for (int failure = 2; failure < 40; ++failure) {
    now += 1s;
    const milliseconds wait = policy.failed(now, failure % 2 == 0 ? 0.0 : kMost);
    CHECK(wait >= full / 2);
    CHECK(wait <= full);
    full = std::min(full * 2, RestartPolicy::kCap);
  }
}

TEST_CASE("the jitter spreads a wait over its upper half") {
  RestartPolicy low;
  RestartPolicy high;
  low.failed(kStart, 0.0);
  high.failed(kStart, 0.0);
  CHECK(low.failed(kStart, 0.0) == 250ms);
  const milliseconds most = high.failed(kStart, kMost);
  CHECK(most >= 499ms);
  CHECK(most <= 500ms);
}

TEST_CASE("five failures within a minute are a crash loop, four are not") {
  RestartPolicy policy;
  Time now = kStart;
  for (int failure = 1; failure <= 4; ++failure) {
    policy.failed(now, 0.0);
    CHECK_FALSE(policy.in_crash_loop(now));
    now += 15s;
  }
  SECTION("the fifth comes within the minute") {
    policy.failed(kStart + 60s, 0.0);
    CHECK(policy.in_crash_loop(kStart + 60s));
  }
  SECTION("the fifth comes after it") {
    policy.failed(kStart + 61s, 0.0);
    CHECK_FALSE(policy.in_crash_loop(kStart + 61s));
  }
}

TEST_CASE("a crash loop is not ended by its own long waits") {
  RestartPolicy policy;
  Time now = kStart;
  for (int failure = 1; failure <= 12; ++failure) {
    now += policy.failed(now, kMost) + 1ms;
    policy.became_ready(now);
  }
  CHECK(policy.in_crash_loop(now));
  CHECK(policy.failed(now, 0.0) == RestartPolicy::kCap / 2);
  CHECK(policy.in_crash_loop(now));
}

TEST_CASE("a worker that was ready for a minute makes the next crash a first one") {
  RestartPolicy policy;
  Time now = kStart;
  for (int failure = 1; failure <= 6; ++failure) policy.failed(now, 0.0);
  REQUIRE(policy.in_crash_loop(now));
  policy.became_ready(now);
  SECTION("a minute") {
    now += RestartPolicy::kStable;
    CHECK_FALSE(policy.in_crash_loop(now));
    CHECK(policy.failed(now, 0.0) == 0ms);
    CHECK_FALSE(policy.in_crash_loop(now));
  }
  SECTION("almost a minute") {
    now += RestartPolicy::kStable - 1ms;
    CHECK(policy.in_crash_loop(now));
    CHECK(policy.failed(now, 0.0) > 0ms);
    CHECK(policy.in_crash_loop(now));
  }
}

TEST_CASE("a worker that never became ready is not stable however long it took") {
  RestartPolicy policy;
  policy.failed(kStart, 0.0);
  CHECK(policy.failed(kStart + 10min, 0.0) == 250ms);
}

#include "supervisor/probation.hpp"

#include <catch2/catch.hpp>

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

const Time kStart{1h};

}  // namespace

TEST_CASE("a group that crash-loops within its window takes its release back") {
  const Probation probation(7, {{"shop", kStart + 60s}, {"mail", kStart + 10s}}, std::nullopt);
  CHECK(probation.release() == 7);
  CHECK(probation.crash_looping("shop", kStart) ==
        "shop crash-loops within reload.confirm_within of its rollout");
  CHECK(probation.crash_looping("shop", kStart + 60s).has_value());
  CHECK_FALSE(probation.crash_looping("shop", kStart + 60s + 1ms));
  CHECK_FALSE(probation.crash_looping("mail", kStart + 11s));
}

TEST_CASE("a group that was not rolled says nothing against the release") {
  const Probation probation(7, {{"shop", kStart + 60s}}, std::nullopt);
  CHECK_FALSE(probation.crash_looping("gateway", kStart));
}

TEST_CASE("a release has proved itself when the last window is over") {
  const Probation probation(7, {{"shop", kStart + 60s}, {"mail", kStart + 10s}}, std::nullopt);
  CHECK_FALSE(probation.waits_for_confirm());
  CHECK(probation.next_deadline(kStart) == kStart + 60s);
  CHECK(probation.next_deadline(kStart + 20s) == kStart + 60s);
  CHECK_FALSE(probation.next_deadline(kStart + 60s));
  CHECK_FALSE(probation.tick(kStart + 60s));
}

TEST_CASE("a release that nobody confirms in time is taken back") {
  const Probation probation(7, {}, kStart + 5min);
  CHECK(probation.waits_for_confirm());
  CHECK(probation.next_deadline(kStart) == kStart + 5min);
  CHECK_FALSE(probation.tick(kStart + 5min - 1ms));
  CHECK(probation.tick(kStart + 5min) == "it was not confirmed in time");
}

TEST_CASE("a confirmed release is kept, but a crash-loop in its window still takes it back") {
  Probation probation(7, {{"shop", kStart + 60s}}, kStart + 30s);
  CHECK(probation.next_deadline(kStart) == kStart + 30s);
  probation.confirm();
  CHECK_FALSE(probation.waits_for_confirm());
  CHECK_FALSE(probation.confirm_by());
  CHECK_FALSE(probation.tick(kStart + 1h));
  CHECK(probation.next_deadline(kStart) == kStart + 60s);
  CHECK(probation.crash_looping("shop", kStart + 40s).has_value());
}

TEST_CASE("a confirmation may be waited for longer than the windows last") {
  const Probation probation(7, {{"shop", kStart + 10s}}, kStart + 5min);
  CHECK(probation.next_deadline(kStart + 20s) == kStart + 5min);
}

TEST_CASE("a release that takes the place of another one has its time left") {
  Probation probation(7, {{"api", kStart + 20s}}, kStart + 10s);
  probation.follow(8, {});
  REQUIRE(probation.release() == 8);
  REQUIRE(probation.confirm_by() == kStart + 10s);
  REQUIRE(probation.crash_looping("api", kStart + 20s));
}

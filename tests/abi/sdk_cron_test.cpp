// Times of crontab expressions, over months, years and clocks that are set.
#include <appserver/cron.hpp>
#include <appserver/detail/cron_schedule.hpp>
#include <appserver/worker.hpp>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "fake_host.hpp"

using namespace appserver;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using std::chrono::sys_seconds;

namespace {

// The time zone of this process, while it lives. A rule in place of a name needs no data of zones.
class Zone {
 public:
  explicit Zone(const char* rule) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    ::setenv("TZ", rule, 1);
    ::tzset();
  }
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;
  ~Zone() {
    if (before_.empty()) {
      ::unsetenv("TZ");
    } else {
      ::setenv("TZ", before_.c_str(), 1);
    }
    ::tzset();
  }

 private:
  std::string before_;
};

constexpr const char* kBerlin = "CET-1CEST,M3.5.0,M10.5.0/3";
constexpr const char* kLordHowe = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";  // half an hour
constexpr const char* kAtMidnight = "<-03>3<-02>,M10.3.0/0,M2.3.0/0";

sys_seconds utc(const std::string& text) {
  std::tm at{};
  REQUIRE(::strptime(text.c_str(), "%Y-%m-%d %H:%M", &at) != nullptr);
  return sys_seconds(std::chrono::seconds(::timegm(&at)));
}

std::string shown(sys_seconds time, bool local) {
  const std::time_t at = time.time_since_epoch().count();
  std::tm parts{};
  local ? ::localtime_r(&at, &parts) : ::gmtime_r(&at, &parts);
  std::array<char, 64> text{};
  static_cast<void>(
      std::strftime(text.data(), text.size(), local ? "%d %H:%M %z" : "%Y-%m-%d %H:%M", &parts));
  return text.data();
}

// The next times in UTC.
std::vector<std::string> times(const char* expression, const std::string& from, int count) {
  const CronExpression cron(expression, CronZone::kUtc);
  std::vector<std::string> result;
  sys_seconds at = utc(from);
  for (int i = 0; i < count; ++i) result.push_back(shown(at = cron.next(at), false));
  return result;
}

// The next times in local time, from a time in UTC.
std::vector<std::string> local_times(const char* expression, const std::string& from, int count) {
  const CronExpression cron(expression);
  std::vector<std::string> result;
  sys_seconds at = utc(from);
  for (int i = 0; i < count; ++i) result.push_back(shown(at = cron.next(at), true));
  return result;
}

using Texts = std::vector<std::string>;

struct TestClock {
  const std::chrono::system_clock::time_point* now;
  std::chrono::system_clock::time_point operator()() const { return *now; }
};

}  // namespace

TEST_CASE("numbers, lists, ranges, steps and names give the times that they say") {
  REQUIRE(times("*/20 * * * *", "2026-11-22 21:39", 3) ==
          Texts{"2026-11-22 21:40", "2026-11-22 22:00", "2026-11-22 22:20"});
  REQUIRE(times("5 4 * * *", "2026-11-22 04:05", 1) == Texts{"2026-11-23 04:05"});
  REQUIRE(times("0,30 8-10/2 * * *", "2026-11-22 08:00", 4) ==
          Texts{"2026-11-22 08:30", "2026-11-22 10:00", "2026-11-22 10:30", "2026-11-23 08:00"});
  REQUIRE(times("0 0 1 JAN,jul *", "2026-01-01 00:00", 2) ==
          Texts{"2026-07-01 00:00", "2027-01-01 00:00"});
  REQUIRE(times("0 12 * * mon-Fri", "2026-11-20 12:00", 2) ==
          Texts{"2026-11-23 12:00", "2026-11-24 12:00"});
  REQUIRE(times("  0\t0 * *  7 ", "2026-11-22 00:00", 1) == Texts{"2026-11-29 00:00"});
  REQUIRE(times("0 0 * * 0", "2026-11-22 00:00", 1) == Texts{"2026-11-29 00:00"});
  REQUIRE(times("0 0 29 2 *", "2096-03-01 00:00", 1) == Texts{"2104-02-29 00:00"});
  REQUIRE(times("* * * * *", "2026-12-31 23:59", 1) == Texts{"2027-01-01 00:00"});
}

TEST_CASE("of day of month and day of week either is enough, where both are given") {
  REQUIRE(times("0 0 13 * fri", "2026-11-01 00:00", 4) ==
          Texts{"2026-11-06 00:00", "2026-11-13 00:00", "2026-11-20 00:00", "2026-11-27 00:00"});
  REQUIRE(times("0 0 24 * fri", "2026-11-20 00:00", 2) ==
          Texts{"2026-11-24 00:00", "2026-11-27 00:00"});
  REQUIRE(times("0 0 */2 * fri", "2026-11-01 00:00", 2) ==
          Texts{"2026-11-13 00:00", "2026-11-27 00:00"});
}

TEST_CASE("an expression that is wrong is refused with the field that is") {
  const auto refused = [](const char* expression, const char* why) {
    CAPTURE(expression);
    REQUIRE_THROWS_WITH(CronExpression(expression), Contains(why));
    REQUIRE_THROWS_AS(CronExpression(expression), std::invalid_argument);
  };
  refused("", "0 fields, not 5");
  refused("* * * *", "4 fields, not 5");
  refused("* * * * * *", "6 fields, not 5");
  refused("60 * * * *", "minute \"60\": expected 0 to 59");
  refused("* 24 * * *", "hour \"24\"");
  refused("* * 0 * *", "day of month \"0\": expected 1 to 31");
  refused("* * * 13 *", "month \"13\": expected 1 to 12, or jan to dec");
  refused("* * * * 8", "day of week \"8\"");
  refused("* * * * monday", "day of week \"monday\"");
  refused("mon * * * *", "minute \"mon\"");
  refused("5-1 * * * *", "ends before it begins");
  refused("* * * * fri-mon", "ends before it begins");
  refused("*/0 * * * *", "the step");
  refused("*/60 * * * *", "the step");
  refused("*/x * * * *", "the step");
  refused("*/ * * * *", "the step");
  refused("5/2 * * * *", "needs a range");
  refused("1,,2 * * * *", "minute \"\"");
  refused("1, * * * *", "minute \"\"");
  refused("-1 * * * *", "minute \"-1\"");
  refused("+1 * * * *", "minute \"+1\"");
  refused("1- * * * *", "minute \"1-\"");
  refused("** * * * *", "minute \"**\"");
  refused("*-5 * * * *", "minute \"*-5\"");
  refused("99999999999999999999 * * * *", "minute");
  refused("0 0 31 feb,apr *", "no month of it has such a day");
  REQUIRE_NOTHROW(CronExpression("0 0 31 feb mon"));
}

TEST_CASE("a time that the clock skips comes in the first minute after, once") {
  const Zone zone(kBerlin);  // 2026-03-29, 02:00 becomes 03:00
  REQUIRE(local_times("30 2 * * *", "2026-03-28 00:00", 3) ==
          Texts{"28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"});
  REQUIRE(local_times("0,30 2,3 * * *", "2026-03-28 12:00", 3) ==
          Texts{"29 03:00 +0200", "29 03:30 +0200", "30 02:00 +0200"});
  REQUIRE(local_times("30 2 * * mon", "2026-03-28 00:00", 1) == Texts{"30 02:30 +0200"});
  const Zone midnight(kAtMidnight);  // 2026-10-18, 00:00 becomes 01:00
  REQUIRE(local_times("0 0 * * *", "2026-10-17 12:00", 2) ==
          Texts{"18 01:00 -0200", "19 00:00 -0200"});
}

TEST_CASE("a time that comes twice comes the first time only") {
  const Zone zone(kBerlin);  // 2026-10-25, 03:00 becomes 02:00
  REQUIRE(local_times("30 2 * * *", "2026-10-24 12:00", 2) ==
          Texts{"25 02:30 +0200", "26 02:30 +0100"});
  REQUIRE(local_times("0 2,3 * * *", "2026-10-24 12:00", 3) ==
          Texts{"25 02:00 +0200", "25 03:00 +0100", "26 02:00 +0100"});
  const Zone lord_howe(kLordHowe);  // 2026-04-05, 02:00 becomes 01:30
  REQUIRE(local_times("45 1 * * *", "2026-04-04 00:00", 2) ==
          Texts{"05 01:45 +1100", "06 01:45 +1030"});
  REQUIRE(local_times("0 2 * * *", "2026-04-04 00:00", 2) ==
          Texts{"05 02:00 +1030", "06 02:00 +1030"});
}

TEST_CASE("where any hour will do, time goes on whatever the clock is set to") {
  const Zone zone(kBerlin);
  REQUIRE(local_times("*/30 * * * *", "2026-10-24 23:45", 5) ==
          Texts{"25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100",
                "25 03:00 +0100"});
  REQUIRE(local_times("*/30 * * * *", "2026-03-29 00:15", 3) ==
          Texts{"29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"});
}

TEST_CASE("in UTC no clock is set") {
  const Zone zone(kBerlin);
  REQUIRE(times("30 1 * * *", "2026-03-29 00:00", 2) ==
          Texts{"2026-03-29 01:30", "2026-03-30 01:30"});
}

TEST_CASE("a cron timer fires in each of its minutes once, whatever the clock does") {
  fake::Host host;
  detail::TimerSet timers(&host.table(), host.worker());
  std::chrono::system_clock::time_point now = utc("2026-11-22 21:39") + 30s;
  int calls = 0;
  Timer timer(timers.start(std::make_unique<detail::CronSchedule<TestClock>>(
                               CronExpression("*/5 * * * *", CronZone::kUtc), TestClock{&now}),
                           detail::make_callable([&] { ++calls; })));
  const auto pass = [&](std::chrono::seconds time) {
    for (; time > 0s; time -= 1s) {
      now += 1s;
      host.advance(1000);
    }
  };
  pass(29s);
  REQUIRE(calls == 0);
  pass(1s);
  REQUIRE(calls == 1);
  pass(300s);
  REQUIRE(calls == 2);

  now -= 200s;  // set back: 21:45 comes again, and is not served again
  pass(201s);
  REQUIRE(calls == 2);
  pass(299s);
  REQUIRE(calls == 3);

  now += 17min;  // set forward: what was skipped is made up for, once
  pass(60s);
  REQUIRE(calls == 4);

  now -= 24h;  // another day: it goes on from there
  pass(360s);
  REQUIRE(calls >= 5);
  const int so_far = calls;
  timer.cancel();
  pass(600s);
  REQUIRE(calls == so_far);
  REQUIRE(host.timers() == 0);
}

TEST_CASE("a worker takes cron expressions, and its end ends them") {
  fake::Host host;
  auto worker = std::make_unique<Worker>(&host.table(), host.worker());
  REQUIRE_THROWS_WITH(worker->cron("* * * * x", [] {}), Contains("day of week"));
  const Timer timer = worker->cron(
      "0 0 1 1 *", [] {}, CronZone::kUtc);
  worker->cron("* * * * *", [owned = std::make_unique<int>(1)] {}).detach();
  REQUIRE(timer.active());
  REQUIRE(host.timers() == 2);
  host.advance(300'000);  // the machine's clock has not moved
  REQUIRE(host.timers() == 2);
  worker.reset();
  REQUIRE_FALSE(timer.active());
  REQUIRE(host.timers() == 0);
}

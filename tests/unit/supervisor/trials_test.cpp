#include "supervisor/trials.hpp"

#include <catch2/catch.hpp>
#include <memory>

using namespace appserver;
using namespace appserver::supervisor;
using namespace std::chrono_literals;
using Kind = RolloutRequest::Kind;

namespace {

using Clock = std::chrono::system_clock;
using Numbers = std::set<std::uint64_t>;

const Time kNow{1h};
const Clock::time_point kClock{500'000h};

GroupReleasePtr group(const std::string& name, milliseconds confirm_within = 2min) {
  auto result = std::make_shared<GroupRelease>();
  result->config.name = name;
  result->config.reload.confirm_within = confirm_within;
  return result;
}

Trials::Step step(std::uint64_t release, const std::vector<std::string>& rolled) {
  Trials::Step result;
  result.release = release;
  result.before = release - 1;
  result.rolled = rolled;
  for (const auto& name : rolled) result.windows[name] = kNow + 2min;
  return result;
}

RolloutRequest rollback(std::vector<std::string> groups = {}) {
  RolloutRequest request;
  request.kind = Kind::rollback;
  request.groups = std::move(groups);
  return request;
}

RolloutRequest to_confirm(bool waits_along = false) {
  RolloutRequest request;
  request.confirm_within = 5min;
  request.waits_along = waits_along;
  return request;
}

// After a restart that took no time.
Trials restarted(const Trials& trials, const std::vector<GroupReleasePtr>& running) {
  return {trials.to_record(kNow, kClock), running, kNow, kClock};
}

}  // namespace

TEST_CASE("a release that was rolled out is on probation, and the one before is its way back") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  REQUIRE(trials.probation() != nullptr);
  CHECK(trials.probation()->release() == 7);
  CHECK(trials.before() == 6);
  CHECK(trials.ways_back() == Numbers{6});
  CHECK_FALSE(trials.waits_for_confirm());
}

TEST_CASE("the first release has nothing to go back to") {
  Trials trials;
  trials.follow({}, step(1, {"shop"}), kNow);
  CHECK(trials.probation() == nullptr);
  CHECK(trials.to_record(kNow, kClock).empty());
}

TEST_CASE("a release of other groups leaves a group to prove itself alone") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.follow({}, step(8, {"mail"}), kNow + 1min);
  CHECK(trials.probation()->release() == 8);
  REQUIRE(trials.carried("shop") != nullptr);
  CHECK(trials.carried("shop")->before == 6);
  CHECK(trials.carried("shop")->until == kNow + 2min);
  CHECK(trials.ways_back() == Numbers{6, 7});
  SECTION("until it is rolled again") {
    trials.follow({}, step(9, {"shop"}), kNow + 1min);
    CHECK(trials.carried("shop") == nullptr);
    CHECK(trials.carried("mail") != nullptr);
  }
  SECTION("until its time is over") {
    trials.follow({}, step(9, {"other"}), kNow + 3min);
    CHECK(trials.carried("shop") == nullptr);
  }
  SECTION("until everything goes back") {
    trials.follow(rollback(), step(9, {"shop", "mail"}), kNow + 1min);
    CHECK(trials.ways_back().empty());
  }
}

TEST_CASE("a change of the number of slots changes nothing about what is to prove itself") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.follow({}, step(8, {}), kNow);
  CHECK(trials.probation()->release() == 7);
  CHECK(trials.before() == 6);
}

TEST_CASE("what a rollback brings has proved itself before") {
  Trials trials;
  trials.follow({}, step(7, {"shop", "mail"}), kNow);
  trials.follow(rollback({"shop"}), step(8, {"shop"}), kNow);
  CHECK(trials.probation() == nullptr);
  CHECK(trials.carried("shop") == nullptr);
  CHECK(trials.carried("mail") != nullptr);
}

TEST_CASE("what follows a release that waits for its confirm takes its place") {
  Trials trials;
  trials.follow(to_confirm(), step(7, {"shop"}), kNow);
  trials.follow(to_confirm(true), step(8, {"mail"}), kNow + 1min);
  CHECK(trials.probation()->release() == 8);
  CHECK(trials.probation()->confirm_by() == kNow + 5min);
  CHECK(trials.before() == 6);
}

TEST_CASE("what must still prove itself must do so after a restart, too, for the time left") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.follow({}, step(8, {"mail"}), kNow);
  const auto recorded = trials.to_record(kNow + 30s, kClock);
  REQUIRE(recorded.size() == 2);
  const Trials taken_up(recorded, {group("shop"), group("mail")}, kNow, kClock + 60s);
  REQUIRE(taken_up.probation() != nullptr);
  CHECK(taken_up.probation()->release() == 8);
  CHECK(taken_up.probation()->windows() == std::map<std::string, Time>{{"mail", kNow + 30s}});
  CHECK(taken_up.before() == 7);
  REQUIRE(taken_up.carried("shop") != nullptr);
  CHECK(taken_up.carried("shop")->until == kNow + 30s);
  CHECK(taken_up.carried("shop")->before == 6);
}

TEST_CASE("after a restart nothing is left of a window that is over") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  const auto recorded = trials.to_record(kNow, kClock);
  const Trials taken_up(recorded, {group("shop")}, kNow, kClock + 2min);
  CHECK(taken_up.probation() == nullptr);
  CHECK(taken_up.ways_back().empty());
}

TEST_CASE("a clock that was set back makes no window longer than confirm_within") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  const auto recorded = trials.to_record(kNow, kClock);
  const Trials taken_up(recorded, {group("shop", 90s)}, kNow, kClock - 24h);
  REQUIRE(taken_up.probation() != nullptr);
  CHECK(taken_up.probation()->windows().at("shop") == kNow + 90s);
  const Trials switched_off(recorded, {group("shop", 0ms)}, kNow, kClock);
  CHECK(switched_off.probation() == nullptr);
}

TEST_CASE("a group that does not run any more has nothing to prove") {
  Trials trials;
  trials.follow({}, step(7, {"shop", "mail"}), kNow);
  const Trials taken_up = restarted(trials, {group("mail")});
  REQUIRE(taken_up.probation() != nullptr);
  CHECK(taken_up.probation()->windows().size() == 1);
  CHECK(restarted(trials, {}).probation() == nullptr);
}

TEST_CASE("a record without a release to go back to proves nothing") {
  const std::vector<Trial> damaged{{"shop", kClock + 1min, 7, 0}, {"mail", kClock + 1min, 0, 0}};
  const Trials taken_up(damaged, {group("shop"), group("mail")}, kNow, kClock);
  CHECK(taken_up.probation() == nullptr);
  CHECK(taken_up.ways_back().empty());
}

namespace {

// What a way back was begun for, as "8 -> 7: why" or "shop -> 7: why".
std::string next_way_back(Trials& trials) {
  const auto back = trials.take_way_back();
  if (!back) return "none";
  const std::string what = back->release == 0 ? back->group : std::to_string(back->release);
  return what + " -> " + std::to_string(back->before) + ": " + back->why;
}

std::string crash_of(const std::string& group) {
  return group + " crash-loops within reload.confirm_within of its rollout";
}

}  // namespace

TEST_CASE("a crash-loop in its window makes a release due, once") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  CHECK(next_way_back(trials) == "none");
  trials.crash_looping("mail", kNow);
  CHECK(next_way_back(trials) == "none");
  trials.crash_looping("shop", kNow + 1min);
  CHECK(next_way_back(trials) == "7 -> 6: " + crash_of("shop"));
  CHECK(next_way_back(trials) == "none");
  REQUIRE(trials.probation() != nullptr);
}

TEST_CASE("a crash-loop after its window makes nothing due") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.follow({}, step(8, {"mail"}), kNow);
  trials.crash_looping("shop", kNow + 3min);
  trials.crash_looping("mail", kNow + 3min);
  CHECK(next_way_back(trials) == "none");
}

TEST_CASE("a group that is due goes back alone after another release, however long that took") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.crash_looping("shop", kNow + 1min);
  trials.follow({}, step(8, {"mail"}), kNow + 3min);
  CHECK(trials.ways_back() == Numbers{6, 7});
  SECTION("one release") {}
  SECTION("and one more") {
    trials.follow({}, step(9, {"other"}), kNow + 4min);
    CHECK(trials.ways_back() == Numbers{6, 8});
  }
  SECTION("one that a person has rolled back") {
    trials.follow(rollback(), step(9, {"mail"}), kNow + 4min);
    CHECK(trials.ways_back() == Numbers{6});
  }
  CHECK(next_way_back(trials) == "shop -> 6: " + crash_of("shop"));
  CHECK(next_way_back(trials) == "none");
  CHECK(trials.carried("shop") == nullptr);
}

TEST_CASE("a release that is due stays so until its time is over, where nothing follows") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.crash_looping("shop", kNow + 1min);
  CHECK_FALSE(trials.next_deadline(kNow + 3min));
  REQUIRE(trials.probation() != nullptr);
  CHECK(next_way_back(trials) == "7 -> 6: " + crash_of("shop"));
}

TEST_CASE("a probation whose time is over ends where nothing is due") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  CHECK(trials.next_deadline(kNow) == kNow + 2min);
  CHECK_FALSE(trials.next_deadline(kNow + 3min));
  CHECK(trials.probation() == nullptr);
}

TEST_CASE("a group that was rolled anew is not due any more") {
  Trials trials;
  trials.follow({}, step(7, {"shop"}), kNow);
  trials.crash_looping("shop", kNow);
  SECTION("by another release") { trials.follow({}, step(8, {"shop"}), kNow); }
  SECTION("after one of others") {
    trials.follow({}, step(8, {"mail"}), kNow);
    trials.follow({}, step(9, {"shop"}), kNow);
  }
  SECTION("by a rollback") { trials.follow(rollback(), step(8, {"shop"}), kNow); }
  CHECK(next_way_back(trials) == "none");
}

TEST_CASE("every group that crash-loops while another rollout runs goes back, one by one") {
  Trials trials;
  trials.follow({}, step(7, {"shop", "mail"}), kNow);
  trials.follow({}, step(8, {"other"}), kNow);
  for (const char* name : {"shop", "other", "mail"}) trials.crash_looping(name, kNow);
  CHECK(next_way_back(trials) == "8 -> 7: " + crash_of("other"));
  trials.end_probation();
  CHECK(next_way_back(trials) == "mail -> 6: " + crash_of("mail"));
  CHECK(next_way_back(trials) == "shop -> 6: " + crash_of("shop"));
  CHECK(next_way_back(trials) == "none");
}

TEST_CASE("a release that nobody confirms is due, and stays so for what is built upon it") {
  Trials trials;
  trials.follow(to_confirm(), step(7, {"shop"}), kNow);
  trials.tick(kNow + 4min);
  CHECK(next_way_back(trials) == "none");
  trials.tick(kNow + 5min);
  CHECK_FALSE(trials.next_deadline(kNow + 5min));
  SECTION("as it is") { CHECK(next_way_back(trials) == "7 -> 6: it was not confirmed in time"); }
  SECTION("another one built upon it") {
    trials.follow(to_confirm(true), step(8, {"mail"}), kNow + 6min);
    CHECK(next_way_back(trials) == "8 -> 6: it was not confirmed in time");
  }
  SECTION("another one in its place") {
    trials.follow({}, step(8, {"mail"}), kNow + 6min);
    CHECK(next_way_back(trials) == "none");
  }
}

TEST_CASE("a confirm is no pardon for a crash-loop") {
  Trials trials;
  trials.follow(to_confirm(), step(7, {"shop"}), kNow);
  trials.tick(kNow + 5min);
  SECTION("none") {
    trials.confirm();
    CHECK(next_way_back(trials) == "none");
  }
  SECTION("one") {
    trials.crash_looping("shop", kNow + 1min);
    trials.confirm();
    CHECK_FALSE(trials.next_deadline(kNow + 6min));
    CHECK(next_way_back(trials) == "7 -> 6: " + crash_of("shop"));
  }
}

TEST_CASE("what was left to people goes back for no crash-loop, only for a person") {
  Trials trials;
  trials.follow(to_confirm(), step(7, {"shop"}), kNow);
  trials.crash_looping("shop", kNow);
  trials.leave_to_people();
  trials.crash_looping("shop", kNow);
  trials.tick(kNow + 5min);
  CHECK(next_way_back(trials) == "none");
  trials.give_up("aborted by ann");
  CHECK(next_way_back(trials) == "7 -> 6: aborted by ann");
}

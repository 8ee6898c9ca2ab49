#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

GroupPolicy with_canary(std::uint32_t count, std::uint32_t slots = 1) {
  GroupPolicy policy = group_of(count);
  policy.canary = slots;
  policy.hold = 30s;
  return policy;
}

// One slot of three runs release 2, as w4.
void hold_one_of_three(Driver& group) {
  group.start_all();
  group.roll(2, with_canary(3));
  group.ready(4);
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w4", "canary held"});
}

}  // namespace

TEST_CASE("a canary is held alone and the other slots follow when it did well") {
  Driver group(group_of(3));
  hold_one_of_three(group);
  CHECK(group.wait() == 30s);
  CHECK(group.after(29'999ms) == kNothing);
  CHECK(group.after(1ms) == Lines{"canary due"});
  CHECK(group.wait() == -1ms);
  CHECK(group.judged(CanaryAction::proceed) == Lines{"spawn w5 s1 r2", "starting s1 w5"});
  CHECK(group.judged(CanaryAction::roll_back, "asked twice") == kNothing);
  group.ready(5);
  CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w5", "spawn w6 s2 r2", "starting s2 w6"});
  group.ready(6);
  CHECK(group.gone(3, "exit 0") == Lines{"replaced s2 w6", "roll done"});
}

TEST_CASE("a canary that did worse goes back, and nobody else was touched") {
  Driver group(group_of(3));
  hold_one_of_three(group);
  CHECK(group.judged(CanaryAction::roll_back, "before its time") == kNothing);
  group.after(30s);
  CHECK(group.judged(CanaryAction::roll_back, "canary: 5xx 40%") ==
        Lines{"reverting s0 w0: canary: 5xx 40%", "spawn w5 s0 r1", "starting s0 w5"});
  group.ready(5);
  CHECK(group.gone(4, "exit 0") == Lines{"replaced s0 w5", "roll rolled_back: canary: 5xx 40%"});
}

TEST_CASE("a canary may wait for a person, who lets it go on or back") {
  Driver group(group_of(3));
  hold_one_of_three(group);
  CHECK_FALSE(group.machine.canary_waits());
  group.after(30s);
  CHECK(group.judged(CanaryAction::wait) == kNothing);
  CHECK(group.machine.canary_waits());
  CHECK(group.wait() == -1ms);
  SECTION("on") {
    CHECK(group.judged(CanaryAction::proceed) == Lines{"spawn w5 s1 r2", "starting s1 w5"});
    CHECK_FALSE(group.machine.canary_waits());
  }
  SECTION("back") {
    CHECK(group.abort("aborted by ann") ==
          Lines{"reverting s0 w0: aborted by ann", "spawn w5 s0 r1", "starting s0 w5"});
    CHECK_FALSE(group.machine.canary_waits());
  }
}

TEST_CASE("a canary that crashes while it is held, or waits, is a failure") {
  Driver group(group_of(3));
  hold_one_of_three(group);
  SECTION("held") {}
  SECTION("judged") { group.after(30s); }
  SECTION("waiting") {
    group.after(30s);
    group.judged(CanaryAction::wait);
  }
  CHECK(group.gone(4) == Lines{"failed s0 w4: SIGSEGV", "reverting s0 w0: slot 0: SIGSEGV",
                               "restart s0 in 0ms", "lend s0 to w2"});
  CHECK(group.wait() == 0ms);
  CHECK(group.judged(CanaryAction::proceed) == kNothing);
  CHECK(group.after(0ms) == Lines{"spawn w5 s0 r1"});
  CHECK(group.after(10s) == Lines{"signal 6 w5: not ready within start_timeout (10000 ms)"});
  CHECK(group.gone(5) == Lines{"restart s0 in 250ms", "roll partial: slot 0: SIGSEGV"});
}

TEST_CASE("an old worker that crashes while a canary is held comes back on the old release") {
  Driver group(group_of(3));
  hold_one_of_three(group);
  CHECK(group.gone(2) == Lines{"restart s1 in 0ms", "lend s1 to w3"});
  CHECK(group.after(0ms) == Lines{"spawn w5 s1 r1"});
  group.ready(5);
  CHECK(group.wait() == 30s);
}

TEST_CASE("as many slots as asked for are held together, at most all of them") {
  SECTION("two of three") {
    Driver group(group_of(3));
    group.start_all();
    GroupPolicy policy = with_canary(3, 2);
    policy.surge = 3;
    CHECK(group.roll(2, policy) ==
          Lines{"spawn w4 s0 r2", "starting s0 w4", "spawn w5 s1 r2", "starting s1 w5"});
    group.replace(4, 1);
    group.ready(5);
    CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w5", "canary held"});
  }
  SECTION("five of one") {
    Driver group(group_of(1));
    group.start_all();
    group.roll(2, with_canary(1, 5));
    group.ready(2);
    CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w2", "canary held"});
    group.after(30s);
    CHECK(group.judged(CanaryAction::proceed) == Lines{"roll done"});
  }
}

TEST_CASE("there is no canary where a group starts or only the number of its slots changes") {
  Driver group(group_of(0));
  group.roll(1, with_canary(1));
  CHECK(group.ready(1) == Lines{"serve w1", "ready s0 w1", "replaced s0 w1", "roll done"});
  group.resize(2, with_canary(2));
  CHECK(group.ready(2) ==
        Lines{"serve w2", "ready s1 w2", "replaced s1 w2", "reclaim s1 from w1", "roll done"});
}

TEST_CASE("a rollout can be aborted until everything is replaced") {
  Driver group(group_of(2));
  group.start_all();
  CHECK_FALSE(group.machine.can_abort());
  CHECK(group.abort("nothing runs") == kNothing);
  group.roll(2, group_of(2));
  SECTION("while the first successor starts") {
    CHECK(group.abort("aborted by ann") ==
          Lines{"reverting s0 w0: aborted by ann", "signal 9 w3: the rollout was given up"});
    CHECK_FALSE(group.machine.can_abort());
    CHECK(group.abort("again") == kNothing);
    CHECK(group.gone(3) == Lines{"roll rolled_back: aborted by ann"});
  }
  SECTION("while the first old worker drains") {
    group.ready(3);
    CHECK(group.abort("aborted by ann") == Lines{"reverting s0 w0: aborted by ann"});
    CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w3", "spawn w4 s0 r1", "starting s0 w4"});
  }
  SECTION("while the last old worker drains") {
    group.replace(3, 1);
    group.ready(4);
    CHECK(group.abort("aborted by ann") == Lines{"reverting s0 w0: aborted by ann"});
    CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w4", "spawn w5 s0 r1", "starting s0 w5"});
    group.replace(5, 3);
    group.ready(6);
    CHECK(group.gone(4, "exit 0") == Lines{"replaced s1 w6", "roll rolled_back: aborted by ann"});
  }
  CHECK(releases(group)[1] == 1);
}

TEST_CASE(
    "an abort while the old worker of a starting successor is gone restarts the old release") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  group.gone(1);
  CHECK(group.abort("aborted by ann") ==
        Lines{"reverting s0 w0: aborted by ann", "signal 9 w2: the rollout was given up"});
  CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
  CHECK(group.gone(2) == kNothing);
  CHECK(group.ready(3) == Lines{"serve w3", "replaced s0 w3", "roll rolled_back: aborted by ann"});
}

TEST_CASE("a rollout that is not over by its deadline goes back, and then has none") {
  GroupPolicy policy = group_of(2);
  policy.deadline = 12s;
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, policy);
  group.now += 5s;
  group.replace(3, 1);
  CHECK(group.wait() == 7s);
  const std::string why = "the rollout was not over within reload.deadline (12 s)";
  CHECK(group.after(7s) ==
        Lines{"reverting s0 w0: " + why, "signal 9 w4: the rollout was given up"});
  group.gone(4);
  CHECK(group.wait() == 10s);
  group.now += 9s;
  group.ready(5);
  CHECK(group.after(20s) == kNothing);
  CHECK(group.gone(3, "exit 0") == Lines{"replaced s0 w5", "roll rolled_back: " + why});
}

TEST_CASE("the hold of a canary does not count against the deadline, a person's wait does") {
  GroupPolicy policy = with_canary(2);
  policy.deadline = 12s;
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, policy);
  group.now += 2s;
  group.replace(3, 1);
  CHECK(group.after(30s) == Lines{"canary due"});
  group.judged(CanaryAction::wait);
  CHECK(group.wait() == 10s);
  CHECK(group.after(10s).front() ==
        "reverting s0 w0: the rollout was not over within reload.deadline (12 s)");
}

TEST_CASE("the deadline does not count while slots are taken away: that cannot fail any more") {
  GroupPolicy policy = group_of(1);
  policy.deadline = 5s;
  Driver group(group_of(2));
  group.start_all();
  group.resize(2, policy);
  CHECK(group.after(5s) == kNothing);
  CHECK(group.wait() == 20s);
}

TEST_CASE("a stop while a canary is held, judged or waits ends everybody") {
  Driver group(group_of(3));
  hold_one_of_three(group);
  SECTION("held") {}
  SECTION("judged") { group.after(30s); }
  SECTION("waiting") {
    group.after(30s);
    group.judged(CanaryAction::wait);
  }
  CHECK(group.stop(false) == Lines{"roll stopped: the daemon is stopping", "drain w2 to w0 20000ms",
                                   "drain w3 to w0 20000ms", "drain w4 to w0 20000ms"});
  CHECK(group.judged(CanaryAction::proceed) == kNothing);
  CHECK(group.wait() == 25s);
}

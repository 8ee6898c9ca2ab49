#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

GroupPolicy careful(std::uint32_t count) {
  GroupPolicy policy = group_of(count);
  policy.probe = true;
  policy.min_ready = 1s;
  return policy;
}

}  // namespace

TEST_CASE("a rollout replaces slot by slot, each successor serving before its old worker drains") {
  Driver group(group_of(2));
  group.start_all();
  CHECK(group.roll(2, group_of(2)) == Lines{"spawn w3 s0 r2", "starting s0 w3"});
  CHECK(group.machine.rolling());
  CHECK(group.ready(3) ==
        Lines{"serve w3", "ready s0 w3", "drain w1 to w3 20000ms", "draining s0 w1"});
  CHECK(group.drained(1, 2) == kNothing);
  CHECK(group.gone(1, "exit 0") ==
        Lines{"replaced s0 w3, cut 2", "spawn w4 s1 r2", "starting s1 w4"});
  CHECK(group.ready(4) ==
        Lines{"serve w4", "ready s1 w4", "drain w2 to w4 20000ms", "draining s1 w2"});
  CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w4", "roll done"});
  CHECK_FALSE(group.machine.rolling());
  CHECK(releases(group) == std::vector<ReleaseId>{2, 2});
  CHECK(group.wait() == -1ms);
}

TEST_CASE("a successor is probed and lives for min_ready before it serves") {
  Driver group(careful(1));
  group.start_all();
  group.roll(2, careful(1));
  CHECK(group.ready(2) == Lines{"probe w2"});
  CHECK(group.ready(2) == kNothing);
  group.now += 3s;
  CHECK(group.probed(2, true) == kNothing);
  CHECK(group.wait() == 1s);
  CHECK(group.probed(2, false, "late") == kNothing);
  CHECK(group.after(999ms) == kNothing);
  CHECK(group.after(1ms) ==
        Lines{"serve w2", "ready s0 w2", "drain w1 to w2 20000ms", "draining s0 w1"});
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w2", "roll done"});
}

TEST_CASE("with a surge of three, three slots are replaced side by side and a fourth waits") {
  Driver group(group_of(4, 3));
  group.start_all();
  CHECK(group.roll(2, group_of(4, 3)) == Lines{"spawn w5 s0 r2", "starting s0 w5", "spawn w6 s1 r2",
                                               "starting s1 w6", "spawn w7 s2 r2",
                                               "starting s2 w7"});
  group.ready(6);
  group.ready(5);
  CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w6", "spawn w8 s3 r2", "starting s3 w8"});
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w5"});
  group.ready(8);
  group.ready(7);
  group.gone(3, "exit 0");
  CHECK(group.gone(4, "exit 0") == Lines{"replaced s3 w8", "roll done"});
}

TEST_CASE("the release that runs can be rolled out again: every worker is a new one") {
  Driver group(group_of(2));
  group.start_all();
  CHECK(group.roll(1, group_of(2)) == Lines{"spawn w3 s0 r1", "starting s0 w3"});
  group.ready(3);
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w3", "spawn w4 s1 r1", "starting s1 w4"});
  group.ready(4);
  CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w4", "roll done"});
}

TEST_CASE("a successor that is not ready in time fails the rollout and the old worker stays") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  CHECK(group.after(10s) ==
        Lines{"signal 6 w2: not ready within start_timeout (10000 ms)",
              "failed s0 w2: not ready within start_timeout (10000 ms)",
              "reverting s0 w0: slot 0: not ready within start_timeout (10000 ms)"});
  CHECK(group.ready(2) == kNothing);
  CHECK(group.gone(2) ==
        Lines{"roll rolled_back: slot 0: not ready within start_timeout (10000 ms)"});
  CHECK(group.machine.ready_count() == 1);
  CHECK(releases(group) == std::vector<ReleaseId>{1});
}

TEST_CASE("a failed or unanswered probe fails the rollout") {
  Driver group(careful(1));
  group.start_all();
  group.roll(2, careful(1));
  group.ready(2);
  std::string reason;
  SECTION("failed") {
    reason = "probe failed: /healthz answered 503";
    CHECK(group.probed(2, false, "/healthz answered 503").size() == 3);
  }
  SECTION("unanswered") {
    reason = "its probe was not answered within start_timeout (10000 ms)";
    CHECK(group.after(10s).size() == 3);
  }
  CHECK(group.probed(2, true) == kNothing);
  CHECK(group.gone(2) == Lines{"roll rolled_back: slot 0: " + reason});
}

TEST_CASE("a successor that crashes before it serves fails the rollout and nobody is signalled") {
  Driver group(careful(1));
  group.start_all();
  group.roll(2, careful(1));
  SECTION("starting") {}
  SECTION("probing") { group.ready(2); }
  SECTION("settling") {
    group.ready(2);
    group.probed(2, true);
  }
  CHECK(group.gone(2, "SIGSEGV") == Lines{"failed s0 w2: SIGSEGV",
                                          "reverting s0 w0: slot 0: SIGSEGV",
                                          "roll rolled_back: slot 0: SIGSEGV"});
  CHECK(group.machine.ready_count() == 1);
  CHECK(group.wait() == -1ms);
}

TEST_CASE("slots that were replaced go back to the old release, start-first, one by one") {
  Driver group(group_of(3));
  group.start_all();
  group.roll(2, group_of(3));
  group.ready(4);
  group.gone(1, "exit 0");
  group.ready(5);
  group.gone(2, "exit 0");
  CHECK(group.gone(6, "exit 1") == Lines{"failed s2 w6: exit 1", "reverting s2 w0: slot 2: exit 1",
                                         "spawn w7 s0 r1", "starting s0 w7"});
  CHECK(group.ready(7) ==
        Lines{"serve w7", "ready s0 w7", "drain w4 to w7 20000ms", "draining s0 w4"});
  CHECK(group.gone(4, "exit 0") == Lines{"replaced s0 w7", "spawn w8 s1 r1", "starting s1 w8"});
  group.ready(8);
  CHECK(group.gone(5, "exit 0") == Lines{"replaced s1 w8", "roll rolled_back: slot 2: exit 1"});
  CHECK(releases(group) == std::vector<ReleaseId>{1, 1, 1});
  CHECK(group.machine.find(3) != nullptr);
}

TEST_CASE("a failure gives up the other candidates and waits until they are gone") {
  Driver group(group_of(3, 3));
  group.start_all();
  group.roll(2, group_of(3, 3));
  CHECK(group.gone(5, "exit 1") == Lines{"failed s1 w5: exit 1", "reverting s1 w0: slot 1: exit 1",
                                         "signal 9 w4: the rollout was given up",
                                         "signal 9 w6: the rollout was given up"});
  CHECK(group.ready(4) == kNothing);
  CHECK(group.gone(4) == kNothing);
  CHECK(group.machine.rolling());
  CHECK(group.gone(6) == Lines{"roll rolled_back: slot 1: exit 1"});
  CHECK(group.machine.ready_count() == 3);
}

TEST_CASE("a slot whose old worker still drains goes back once that one is gone") {
  Driver group(group_of(2, 2));
  group.start_all();
  group.roll(2, group_of(2, 2));
  group.ready(3);
  CHECK(group.gone(4, "exit 1") ==
        Lines{"failed s1 w4: exit 1", "reverting s1 w0: slot 1: exit 1"});
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w3", "spawn w5 s0 r1", "starting s0 w5"});
  group.ready(5);
  CHECK(group.gone(3, "exit 0") == Lines{"replaced s0 w5", "roll rolled_back: slot 1: exit 1"});
}

TEST_CASE("a slot that cannot go back keeps what it runs and the rollout ends partial") {
  Driver group(group_of(3));
  group.start_all();
  group.roll(2, group_of(3));
  group.ready(4);
  group.gone(1, "exit 0");
  group.ready(5);
  group.gone(2, "exit 0");
  group.gone(6, "exit 1");
  CHECK(group.gone(7, "exit 2") ==
        Lines{"failed s0 w7: exit 2", "spawn w8 s1 r1", "starting s1 w8"});
  group.ready(8);
  CHECK(group.gone(5, "exit 0") == Lines{"replaced s1 w8", "roll partial: slot 2: exit 1"});
  CHECK(group.machine.find(4)->release == 2);
  CHECK(group.machine.ready_count() == 3);

  INFO("a restart there runs the release that is in force");
  group.gone(4);
  CHECK(group.after(0ms) == Lines{"spawn w9 s0 r1"});
}

TEST_CASE(
    "a rollout onto the release in force after a partial one replaces the slot that was left") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(2));
  group.ready(3);
  group.gone(1, "exit 0");
  group.gone(4, "exit 1");
  CHECK(group.gone(5, "exit 2") == Lines{"failed s0 w5: exit 2", "roll partial: slot 1: exit 1"});
  CHECK(group.roll(1, group_of(2)) == Lines{"spawn w6 s0 r1", "starting s0 w6"});
}

TEST_CASE(
    "a new worker that crashes during the rollout fails it and its slot restarts on the old") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(2));
  group.ready(3);
  SECTION("while its predecessor still drains") {
    CHECK(group.gone(3) == Lines{"failed s0 w3: SIGSEGV", "reverting s0 w0: slot 0: SIGSEGV",
                                 "restart s0 in 0ms", "lend s0 to w2"});
    CHECK(group.after(0ms) == Lines{"spawn w4 s0 r1"});
    CHECK(group.ready(4) == Lines{"serve w4", "reclaim s0 from w2"});
    CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w4", "roll rolled_back: slot 0: SIGSEGV"});
  }
  SECTION("while the next slot's successor starts") {
    group.gone(1, "exit 0");
    CHECK(group.gone(3) == Lines{"failed s0 w3: SIGSEGV", "reverting s0 w0: slot 0: SIGSEGV",
                                 "signal 9 w4: the rollout was given up", "restart s0 in 0ms",
                                 "lend s0 to w2"});
    CHECK(group.after(0ms) == Lines{"spawn w5 s0 r1"});
    CHECK(group.gone(4) == kNothing);
    CHECK(group.ready(5) == Lines{"serve w5", "replaced s0 w5", "reclaim s0 from w2",
                                  "roll rolled_back: slot 0: SIGSEGV"});
  }
  CHECK(releases(group) == std::vector<ReleaseId>{1, 1});
}

TEST_CASE("a new worker that crashes while it waits to go back is restarted on the old release") {
  Driver group(group_of(3));
  group.start_all();
  group.roll(2, group_of(3));
  group.ready(4);
  group.gone(1, "exit 0");
  group.ready(5);
  group.gone(2, "exit 0");
  group.gone(6, "exit 1");
  CHECK(group.gone(5) == Lines{"restart s1 in 0ms", "lend s1 to w3"});
  CHECK(group.after(0ms) == Lines{"spawn w8 s1 r1"});
  group.ready(7);
  CHECK(group.gone(4, "exit 0") == Lines{"replaced s0 w7"});
  SECTION("the rollout waits for it") {
    CHECK(group.ready(8) == Lines{"serve w8", "replaced s1 w8", "reclaim s1 from w3",
                                  "roll rolled_back: slot 2: exit 1"});
  }
  SECTION("but not for more than one try") {
    CHECK(group.gone(8, "exit 3") == Lines{"restart s1 in 250ms", "roll partial: slot 2: exit 1"});
    CHECK(group.after(250ms) == Lines{"spawn w9 s1 r1"});
  }
}

TEST_CASE("an old worker that crashes while its turn has not come restarts on the old release") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(2));
  CHECK(group.gone(2) == Lines{"restart s1 in 0ms", "lend s1 to w1"});
  CHECK(group.after(0ms) == Lines{"spawn w4 s1 r1"});
  CHECK(group.machine.rolling());
  group.ready(3);
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w3", "spawn w5 s1 r2", "starting s1 w5"});
  CHECK(group.ready(5) == Lines{"serve w5", "ready s1 w5", "signal 9 w4: its successor is ready",
                                "reclaim s1 from w3"});
  CHECK(group.gone(4) == Lines{"replaced s1 w5", "roll done"});
}

TEST_CASE("an old worker that crashes while its successor starts is not restarted") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  CHECK(group.gone(1) == kNothing);
  CHECK(group.wait() == 10s);
  SECTION("the successor takes the slot") {
    CHECK(group.ready(2) == Lines{"serve w2", "ready s0 w2", "replaced s0 w2", "roll done"});
  }
  SECTION("unless the successor fails") {
    group.gone(2, "exit 1");
    CHECK(group.wait() == 0ms);
    CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
    CHECK(group.ready(3) ==
          Lines{"serve w3", "replaced s0 w3", "roll rolled_back: slot 0: exit 1"});
  }
}

TEST_CASE("a slot in backoff is repaired by the rollout, not by its next try") {
  Driver group(group_of(1));
  group.start_all();
  group.gone(1);
  group.after(0ms);
  group.gone(2);
  CHECK(group.wait() == 250ms);
  CHECK(group.roll(2, group_of(1)) == Lines{"spawn w3 s0 r2", "starting s0 w3"});
  CHECK(group.after(250ms) == kNothing);
  CHECK(group.ready(3) == Lines{"serve w3", "ready s0 w3", "replaced s0 w3", "roll done"});
  INFO("the new build starts with a clean record");
  CHECK(group.gone(3) == Lines{"restart s0 in 0ms"});
}

TEST_CASE("a drain that outlives its deadline ends by a signal and the rollout goes on") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  group.ready(2);
  CHECK(group.wait() == 20s + GroupMachine::kDrainGrace);
  CHECK(group.after(20s) == kNothing);
  CHECK(group.after(GroupMachine::kDrainGrace) ==
        Lines{"signal 6 w1: it has not ended 5 s after drain_timeout"});
  CHECK(group.wait() == GroupMachine::kLateAbortGrace);
  CHECK(group.gone(1, "SIGABRT") == Lines{"replaced s0 w2", "roll done"});
}

TEST_CASE("a failed rollout takes its policy along, a good one leaves it") {
  GroupPolicy next = group_of(2);
  next.start_timeout = 77s;
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, next);
  CHECK(group.wait() == 77s);
  SECTION("failed") {
    group.gone(3, "exit 1");
    group.gone(1);
    group.after(0ms);
    CHECK(group.wait() == 10s);
  }
  SECTION("done") {
    group.ready(3);
    group.gone(1, "exit 0");
    group.ready(4);
    CHECK(group.gone(2, "exit 0") == Lines{"replaced s1 w4", "roll done"});
    group.gone(3);
    group.after(0ms);
    CHECK(group.wait() == 77s);
  }
}

#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

TEST_CASE("a worker that hangs dies of SIGABRT, then of SIGKILL, and a sibling accepts meanwhile") {
  Driver group(group_of(2));
  group.start_all();
  CHECK(group.hangs(1) == Lines{"signal 6 w1: its event loop stands still", "lend s0 to w2"});
  CHECK(group.machine.ready_count() == 1);
  CHECK(group.hangs(1) == kNothing);
  CHECK(group.moves(1) == kNothing);
  CHECK(group.wait() == GroupMachine::kAbortGrace);
  SECTION("SIGABRT is enough") {}
  SECTION("SIGABRT is not enough") {
    CHECK(group.after(GroupMachine::kAbortGrace) ==
          Lines{"signal 9 w1: it did not die of SIGABRT"});
    CHECK(group.wait() == -1ms);
    CHECK(group.hangs(1) == kNothing);
  }
  CHECK(group.gone(1, "hang") == Lines{"restart s0 in 0ms"});
  group.after(0ms);
  CHECK(group.ready(3) == Lines{"serve w3", "reclaim s0 from w2"});
}

TEST_CASE("a worker that was halted gets its slot back when it moves again") {
  Driver group(group_of(2));
  group.start_all();
  CHECK(group.halted(1) == Lines{"lend s0 to w2"});
  CHECK(group.wait() == -1ms);
  SECTION("it moves") {
    CHECK(group.moves(1) == Lines{"reclaim s0 from w2"});
    CHECK(group.machine.ready_count() == 2);
    CHECK(group.moves(1) == kNothing);
  }
  SECTION("it was let go and hangs") {
    CHECK(group.hangs(1) == Lines{"signal 6 w1: its event loop stands still"});
  }
}

TEST_CASE("a halted worker has to give back what was lent to it") {
  Driver group(group_of(3));
  group.start_all();
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms", "lend s0 to w2"});
  CHECK(group.halted(2) == Lines{"reclaim s0 from w2", "lend s0 to w3", "lend s1 to w3"});
}

TEST_CASE("a worker that does not serve yet cannot hang: its gates have deadlines of their own") {
  GroupPolicy policy = group_of(1);
  policy.min_ready = 1s;
  Driver group(policy);
  group.start_all();
  group.roll(2, policy);
  CHECK(group.hangs(2) == kNothing);
  group.ready(2);
  CHECK(group.hangs(2) == kNothing);
  CHECK(group.suspect(2, "its event loop stands still") ==
        Lines{"failed s0 w2: its event loop stands still", "signal 9 w2: it failed to become ready",
              "reverting s0 w0: slot 0: its event loop stands still"});
}

TEST_CASE("a worker that serves and must not be trusted is killed and restarted") {
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.suspect(1, "it wrote nonsense") == Lines{"signal 9 w1: it wrote nonsense"});
  CHECK(group.suspect(1, "it wrote nonsense") == kNothing);
  CHECK(group.machine.ready_count() == 0);
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms"});
}

TEST_CASE("a rollout replaces an old worker that hangs without a drain it could not do") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  CHECK(group.hangs(1) == Lines{"signal 6 w1: its event loop stands still"});
  group.now += 1s;
  CHECK(group.ready(2) == Lines{"serve w2", "ready s0 w2"});
  INFO("it gets no more time than before");
  CHECK(group.wait() == 4s);
  CHECK(group.after(4s) == Lines{"signal 9 w1: it did not die of SIGABRT"});
  CHECK(group.gone(1) == Lines{"replaced s0 w2", "roll done"});
}

TEST_CASE("a new worker that hangs fails the rollout when it is dead") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(2));
  group.replace(3, 1);
  CHECK(group.hangs(3) == Lines{"signal 6 w3: its event loop stands still", "lend s0 to w2"});
  CHECK(group.gone(3, "hang") == Lines{"failed s0 w3: hang", "reverting s0 w0: slot 0: hang",
                                       "signal 9 w4: the rollout was given up",
                                       "restart s0 in 0ms"});
}

TEST_CASE("a draining worker that hangs does not hold the rollout up longer than its drain") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  group.ready(2);
  SECTION("soon after") {
    group.hangs(1);
    CHECK(group.wait() == GroupMachine::kAbortGrace);
    CHECK(group.after(GroupMachine::kAbortGrace) ==
          Lines{"signal 9 w1: it did not die of SIGABRT"});
  }
  SECTION("near the end") {
    group.now += 24s;
    group.hangs(1);
    CHECK(group.wait() == 1s);
  }
  CHECK(group.gone(1) == Lines{"replaced s0 w2", "roll done"});
}

TEST_CASE("a stop ends a worker that hangs in time") {
  Driver group(group_of(1));
  group.start_all();
  group.hangs(1);
  group.stop(false);
  CHECK(group.wait() == GroupMachine::kAbortGrace);
  CHECK(group.after(GroupMachine::kAbortGrace) == Lines{"signal 9 w1: it did not die of SIGABRT"});
  CHECK(group.gone(1) == Lines{"stopped"});
}

TEST_CASE("a replaced worker that does not end dies of SIGABRT, then of SIGKILL") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  group.ready(2);
  const Lines aborted{"signal 6 w1: it has not ended 5 s after drain_timeout"};
  CHECK(group.after(20s + GroupMachine::kDrainGrace) == aborted);
  SECTION("of the first") { CHECK(group.gone(1) == Lines{"replaced s0 w2", "roll done"}); }
  SECTION("of the second") {
    CHECK(group.after(GroupMachine::kLateAbortGrace) ==
          Lines{"signal 9 w1: it did not die of SIGABRT"});
  }
}

TEST_CASE("a worker that hangs at its start dies of SIGABRT, then of SIGKILL, and is restarted") {
  Driver group(group_of(1));
  group.start(1);
  const std::string why = "not ready within start_timeout (10000 ms)";
  CHECK(group.after(10s) == Lines{"signal 6 w1: " + why});
  INFO("what it says now comes too late");
  CHECK(group.ready(1) == kNothing);
  CHECK(group.wait() == GroupMachine::kLateAbortGrace);
  SECTION("SIGABRT is enough") {}
  SECTION("SIGABRT is not enough") {
    CHECK(group.after(GroupMachine::kLateAbortGrace) ==
          Lines{"signal 9 w1: it did not die of SIGABRT"});
  }
  CHECK(group.gone(1, "hang") == Lines{"restart s0 in 0ms"});
  CHECK(group.after(0ms) == Lines{"spawn w2 s0 r1"});
}

TEST_CASE(
    "a successor that hangs at its start fails the rollout at once, which then waits for its end") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(1));
  const std::string why = "not ready within start_timeout (10000 ms)";
  CHECK(group.after(10s) ==
        Lines{"signal 6 w2: " + why, "failed s0 w2: " + why, "reverting s0 w0: slot 0: " + why});
  CHECK(group.ready(2) == kNothing);
  CHECK(group.machine.ready_count() == 1);
  SECTION("SIGABRT is enough") {}
  SECTION("SIGABRT is not enough") {
    CHECK(group.wait() == GroupMachine::kLateAbortGrace);
    CHECK(group.after(GroupMachine::kLateAbortGrace) ==
          Lines{"signal 9 w2: it did not die of SIGABRT"});
  }
  SECTION("the daemon stops: it gets no grace") {
    CHECK(group.stop(false) == Lines{"roll stopped: the daemon is stopping",
                                     "drain w1 to w0 20000ms",
                                     "signal 9 w2: the group is stopping"});
    return;
  }
  CHECK(group.gone(2, "hang") == Lines{"roll rolled_back: slot 0: " + why});
}

TEST_CASE("a probe that is not answered says nothing of a hang: no stack is asked for") {
  GroupPolicy policy = group_of(1);
  policy.probe = true;
  Driver group(policy);
  group.start_all();
  group.roll(2, policy);
  group.ready(2);
  const std::string why = "its probe was not answered within start_timeout (10000 ms)";
  CHECK(group.after(10s) == Lines{"failed s0 w2: " + why, "signal 9 w2: it failed to become ready",
                                  "reverting s0 w0: slot 0: " + why});
}

#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

// Starts w1... of release 1, all of which have state to leave.
void start_with_state(Driver& group) {
  group.start(1);
  const auto count = group.machine.slots().size();
  for (WorkerId worker = 1; worker <= count; ++worker) group.ready_with_state(worker);
}

}  // namespace

TEST_CASE("a successor starts after the worker that it replaces was asked for its state") {
  Driver group(group_of(2));
  start_with_state(group);
  SECTION("in a rollout") {
    CHECK(group.roll(2, group_of(2)) == Lines{"spawn w3 s0 r2 after w1", "starting s0 w3"});
    group.started(3);
    group.ready_with_state(3);
    CHECK(group.gone(1, "exit 0") ==
          Lines{"replaced s0 w3", "spawn w4 s1 r2 after w2", "starting s1 w4"});
  }
  SECTION("in a recycling") {
    CHECK(group.recycle(2) == Lines{"spawn w3 s1 r1 after w2", "starting s1 w3"});
  }
}

TEST_CASE("a worker that says that it has no state is not asked for it") {
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.roll(2, group_of(1)) == Lines{"spawn w2 s0 r2", "starting s0 w2"});
}

TEST_CASE("the time to start begins with the process, not with the wait for the state") {
  Driver group(group_of(1));
  start_with_state(group);
  group.roll(2, group_of(1));
  CHECK(group.wait() == 12s);
  CHECK(group.after(2s) == kNothing);
  CHECK(group.started(2) == kNothing);
  CHECK(group.wait() == 10s);
  CHECK(group.after(10s) ==
        Lines{"signal 6 w2: not ready within start_timeout (10000 ms)",
              "failed s0 w2: not ready within start_timeout (10000 ms)",
              "reverting s0 w0: slot 0: not ready within start_timeout (10000 ms)"});
}

TEST_CASE("on the way back the state is that of the worker that is replaced") {
  Driver group(group_of(2));
  start_with_state(group);
  group.roll(2, group_of(2));
  group.started(3);
  group.ready_with_state(3);
  group.gone(1, "exit 0");
  CHECK(group.gone(4, "exit 1") == Lines{"failed s1 w4: exit 1", "reverting s1 w0: slot 1: exit 1",
                                         "spawn w5 s0 r1 after w3", "starting s0 w5"});
}

TEST_CASE("where the old worker goes first it is told to leave its state before it drains") {
  Driver group(group_of(1));
  start_with_state(group);
  SECTION("in a rollout") {
    GroupPolicy policy = group_of(1);
    policy.stop_first = true;
    CHECK(group.roll(2, policy) ==
          Lines{"leave state w1", "drain w1 to w0 20000ms", "draining s0 w1"});
  }
  SECTION("in a recycling") {
    CHECK(group.recycle_stop_first(1) ==
          Lines{"leave state w1", "drain w1 to w0 20000ms", "draining s0 w1"});
  }
}

TEST_CASE("a worker without a successor to come is not asked for its state") {
  Driver group(group_of(2));
  start_with_state(group);
  SECTION("its slot is taken away") {
    CHECK(group.resize(1, group_of(1)) ==
          Lines{"retire all but 1", "drain w2 to w1 20000ms", "draining s1 w2", "lend s1 to w1"});
  }
  SECTION("the group stops") {
    CHECK(group.stop(false) == Lines{"drain w1 to w0 20000ms", "drain w2 to w0 20000ms"});
  }
}

TEST_CASE("a worker that hangs or has crashed is not asked for its state") {
  Driver group(group_of(1));
  start_with_state(group);
  SECTION("hangs") {
    group.halted(1);
    CHECK(group.roll(2, group_of(1)) == Lines{"spawn w2 s0 r2", "starting s0 w2"});
  }
  SECTION("has crashed") {
    group.gone(1);
    CHECK(group.after(0s) == Lines{"spawn w2 s0 r1"});
  }
}

TEST_CASE("a rollout given up while a successor waits for the state ends that successor") {
  Driver group(group_of(1));
  start_with_state(group);
  group.roll(2, group_of(1));
  CHECK(group.abort("aborted by ann") ==
        Lines{"reverting s0 w0: aborted by ann", "signal 9 w2: the rollout was given up"});
  CHECK(group.started(2) == kNothing);
  CHECK(group.gone(2, "the rollout was given up") == Lines{"roll rolled_back: aborted by ann"});
}

TEST_CASE("connections of a worker that dies while its successor comes up are told as cut") {
  Driver group(group_of(1));
  start_with_state(group);
  const auto dies = [&group] {
    group.drained(1, 3);
    group.gone(1, "SIGSEGV in on_save_state");
    group.started(2);
  };
  SECTION("in a rollout") {
    group.roll(2, group_of(1));
    dies();
    CHECK(group.ready(2) == Lines{"serve w2", "ready s0 w2", "replaced s0 w2, cut 3", "roll done"});
  }
  SECTION("in a rollout that goes back") {
    group.roll(2, group_of(1));
    dies();
    group.gone(2, "exit 1");
    CHECK(group.after(0s) == Lines{"spawn w3 s0 r1"});
    CHECK(group.ready(3) ==
          Lines{"serve w3", "replaced s0 w3, cut 3", "roll rolled_back: slot 0: exit 1"});
  }
  SECTION("in a recycling") {
    group.recycle(1);
    dies();
    CHECK(group.ready(2) == Lines{"serve w2", "ready s0 w2", "recycled s0, cut 3"});
  }
}

TEST_CASE("connections of a worker that dies when nobody replaces it are not a rollout's") {
  Driver group(group_of(2));
  start_with_state(group);
  group.roll(2, group_of(2));
  group.drained(2, 3);
  group.gone(2, "SIGSEGV");
  group.after(0s);
  group.ready(4);
  group.started(3);
  group.ready(3);
  group.gone(1, "exit 0");
  group.ready(5);
  CHECK(group.gone(4, "exit 0") == Lines{"replaced s1 w5", "roll done"});
}

#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

TEST_CASE("a worker is recycled start-first: the fresh one serves before the old one drains") {
  GroupPolicy policy = group_of(2);
  policy.probe = true;
  policy.min_ready = 1s;
  Driver group(policy);
  group.start_all();
  CHECK(group.recycle(1) == Lines{"spawn w3 s0 r1", "starting s0 w3"});
  CHECK(group.ready(3) == Lines{"probe w3"});
  CHECK(group.probed(3, true) == kNothing);
  CHECK(group.after(1s) ==
        Lines{"serve w3", "ready s0 w3", "drain w1 to w3 20000ms", "draining s0 w1"});
  group.drained(1, 2);
  CHECK(group.gone(1, "exit 0") == Lines{"recycled s0, cut 2"});
  CHECK(group.wait() == -1ms);
}

TEST_CASE("two workers of a group are never recycled together") {
  Driver group(group_of(2));
  group.start_all();
  group.recycle(1);
  CHECK_FALSE(group.machine.can_recycle(2));
  CHECK(group.recycle(2) == kNothing);
  SECTION("not while the old one drains") {
    group.ready(3);
    CHECK(group.recycle(2) == kNothing);
    group.gone(1, "exit 0");
  }
  SECTION("not while one that failed is still there") {
    group.suspect(3, "its event loop stands still");
    CHECK(group.recycle(2) == kNothing);
    group.gone(3);
  }
  CHECK(group.recycle(2) == Lines{"spawn w4 s1 r1", "starting s1 w4"});
}

TEST_CASE("only a worker that serves is recycled, and only where nothing else is under way") {
  Driver group(group_of(2));
  group.start(1);
  group.ready(1);
  CHECK(group.recycle(2) == kNothing);
  CHECK(group.recycle(9) == kNothing);
  SECTION("not in a rollout") {
    group.roll(2, group_of(2));
    CHECK(group.recycle(1) == kNothing);
  }
  SECTION("not while its loop stands still") {
    group.halted(1);
    CHECK(group.recycle(1) == kNothing);
    group.moves(1);
    CHECK(group.recycle(1) == Lines{"spawn w3 s0 r1", "starting s0 w3"});
  }
  SECTION("not in a stop") {
    group.stop(false);
    CHECK(group.recycle(1) == kNothing);
  }
}

TEST_CASE("a fresh worker that fails leaves the old one where it is") {
  Driver group(group_of(1));
  group.start_all();
  group.recycle(1);
  SECTION("crashed") { CHECK(group.gone(2, "exit 1") == Lines{"kept s0: exit 1"}); }
  SECTION("late") {
    const std::string why = "not ready within start_timeout (10000 ms)";
    CHECK(group.after(10s) == Lines{"signal 6 w2: " + why, "kept s0: " + why});
    CHECK_FALSE(group.machine.can_recycle(1));
    group.gone(2);
  }
  CHECK(group.machine.ready_count() == 1);
  CHECK(group.machine.can_recycle(1));
}

TEST_CASE("a worker that dies while its fresh one starts is not restarted: that one takes over") {
  Driver group(group_of(2));
  group.start_all();
  group.recycle(1);
  CHECK(group.gone(1) == Lines{"lend s0 to w2"});
  SECTION("it comes") {
    CHECK(group.ready(3) == Lines{"serve w3", "ready s0 w3", "recycled s0", "reclaim s0 from w2"});
  }
  SECTION("it fails") {
    CHECK(group.gone(3, "exit 1") == Lines{"kept s0: exit 1"});
    CHECK(group.wait() == 0ms);
    CHECK(group.after(0ms) == Lines{"spawn w4 s0 r1"});
  }
  SECTION("a rollout gives it up") {
    CHECK(group.resize(1, group_of(2)) ==
          Lines{"kept s0: a rollout begins", "signal 9 w3: a rollout begins"});
    CHECK(group.wait() == 0ms);
    CHECK(group.after(0ms) == Lines{"spawn w4 s0 r1"});
    CHECK(group.gone(3) == Lines{"roll done"});
  }
}

TEST_CASE("a rollout that begins during a recycling has the way") {
  Driver group(group_of(2));
  group.start_all();
  group.recycle(2);
  SECTION("a fresh worker that does not serve yet goes") {
    CHECK(group.roll(2, group_of(2)) ==
          Lines{"kept s1: a rollout begins", "signal 9 w3: a rollout begins"});
    CHECK(group.ready(3) == kNothing);
    CHECK(group.gone(3) == Lines{"spawn w4 s0 r2", "starting s0 w4"});
  }
  SECTION("an old worker that drains is waited for, with what it cuts") {
    group.ready(3);
    CHECK(group.roll(2, group_of(2)) == kNothing);
    group.drained(2, 5);
    CHECK(group.gone(2, "exit 0") ==
          Lines{"recycled s1, cut 5", "spawn w4 s0 r2", "starting s0 w4"});
  }
  group.replace(4, 1);
  CHECK(group.machine.rolling());
}

TEST_CASE("a recycled slot is not one of the rollout's: its crash is no reason to go back") {
  Driver group(group_of(2));
  group.start_all();
  group.recycle(2);
  group.replace(3, 2);
  group.roll(2, group_of(2));
  CHECK(group.gone(3) == Lines{"restart s1 in 0ms", "lend s1 to w1"});
}

TEST_CASE("a stop during a recycling ends both workers") {
  Driver group(group_of(1));
  group.start_all();
  group.recycle(1);
  SECTION("the fresh one starts") {
    CHECK(group.stop(false) == Lines{"kept s0: the daemon is stopping", "drain w1 to w0 20000ms",
                                     "signal 9 w2: the group is stopping"});
  }
  SECTION("the old one drains") {
    group.ready(2);
    CHECK(group.stop(false) == Lines{"recycled s0", "drain w2 to w0 20000ms"});
  }
  CHECK(group.gone(1, "exit 0") == kNothing);
  CHECK(group.gone(2, "exit 0") == Lines{"stopped"});
}

TEST_CASE("where memory is short the old worker goes first, and its sibling gets what it has") {
  GroupPolicy policy = group_of(2);
  policy.probe = true;
  Driver group(policy);
  group.start_all();
  CHECK(group.recycle_stop_first(1) ==
        Lines{"drain w1 to w2 20000ms", "draining s0 w1", "lend s0 to w2"});
  CHECK_FALSE(group.machine.can_recycle(2));
  group.drained(1, 2);
  INFO("the fresh one goes through every gate");
  CHECK(group.gone(1, "exit 0") == Lines{"spawn w3 s0 r1", "starting s0 w3"});
  CHECK_FALSE(group.machine.can_recycle(2));
  CHECK(group.ready(3) == Lines{"probe w3"});
  SECTION("it comes") {
    CHECK(group.probed(3, true) ==
          Lines{"serve w3", "ready s0 w3", "recycled s0, cut 2", "reclaim s0 from w2"});
    CHECK(group.machine.can_recycle(2));
  }
  SECTION("it fails: the slot is restarted as any other") {
    CHECK(group.probed(3, false, "503") ==
          Lines{"signal 9 w3: it failed to become ready", "kept s0: probe failed: 503, cut 2"});
    CHECK(group.gone(3) == kNothing);
    CHECK(group.after(0ms) == Lines{"spawn w4 s0 r1"});
    CHECK(group.ready(4) == Lines{"serve w4", "reclaim s0 from w2"});
  }
  CHECK(group.machine.slots()[0].restarts == 0);
  CHECK(group.wait() == -1ms);
}

TEST_CASE("a rollout that begins while a worker goes first waits for it and fills its slot") {
  Driver group(group_of(2));
  group.start_all();
  group.recycle_stop_first(1);
  SECTION("every slot is replaced") {
    CHECK(group.roll(2, group_of(2)) == kNothing);
    CHECK(group.gone(1, "exit 0") ==
          Lines{"kept s0: a rollout begins", "spawn w3 s0 r2", "starting s0 w3"});
    CHECK(group.ready(3) == Lines{"serve w3", "ready s0 w3", "replaced s0 w3", "spawn w4 s1 r2",
                                  "starting s1 w4", "reclaim s0 from w2"});
  }
  SECTION("only the number of slots changes") {
    CHECK(group.resize(2, group_of(2)) == kNothing);
    CHECK(group.gone(1, "exit 0") == Lines{"kept s0: a rollout begins", "roll done"});
    CHECK(group.after(0ms) == Lines{"spawn w3 s0 r2"});
  }
  SECTION("it is given up at once") {
    group.roll(2, group_of(2));
    group.abort("aborted by ann");
    CHECK(group.gone(1, "exit 0") == Lines{"kept s0: a rollout begins"});
    CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
    CHECK(group.ready(3) == Lines{"serve w3", "replaced s0 w3", "reclaim s0 from w2",
                                  "roll rolled_back: aborted by ann"});
  }
}

TEST_CASE("a stop while a worker goes first for its fresh one starts nobody") {
  Driver group(group_of(2));
  group.start_all();
  group.recycle_stop_first(1);
  CHECK(group.stop(false) == Lines{"kept s0: the daemon is stopping", "drain w2 to w0 20000ms"});
  CHECK(group.gone(1, "exit 0") == kNothing);
  CHECK(group.gone(2, "exit 0") == Lines{"stopped"});
}

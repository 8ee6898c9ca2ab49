#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

TEST_CASE("a group grows by slots that pass every gate, and leaves its workers alone") {
  GroupPolicy policy = group_of(3);
  policy.probe = true;
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.resize(2, policy) ==
        Lines{"spawn w2 s1 r2", "starting s1 w2", "lend s1 to w1", "lend s2 to w1"});
  CHECK(group.ready(2) == Lines{"probe w2"});
  CHECK(group.probed(2, true) == Lines{"serve w2", "ready s1 w2", "replaced s1 w2",
                                       "spawn w3 s2 r2", "starting s2 w3", "reclaim s1 from w1"});
  group.ready(3);
  CHECK(group.probed(3, true) ==
        Lines{"serve w3", "ready s2 w3", "replaced s2 w3", "reclaim s2 from w1", "roll done"});
  CHECK(releases(group) == std::vector<ReleaseId>{2, 2, 2});
  CHECK(group.machine.find(1)->release == 2);
  CHECK(group.wait() == -1ms);
}

TEST_CASE("a growth whose new worker fails gives the new slots back") {
  Driver group(group_of(1));
  group.start_all();
  group.resize(2, group_of(3));
  group.ready(2);
  CHECK(group.gone(3, "exit 1") == Lines{"failed s2 w3: exit 1", "reverting s2 w0: slot 2: exit 1",
                                         "retire all but 1", "drain w2 to w1 20000ms",
                                         "draining s1 w2", "lend s1 to w1"});
  CHECK(group.gone(2, "exit 0") == Lines{"removed s1 w0"});
  CHECK(group.wait() == GroupMachine::kQueueLinger);
  CHECK(group.after(GroupMachine::kQueueLinger) ==
        Lines{"reclaim s1 from w1", "reclaim s2 from w1"});
  CHECK(group.after(GroupMachine::kQueueLinger) ==
        Lines{"close all but 1", "roll rolled_back: slot 2: exit 1"});
  CHECK(group.machine.slots().size() == 1);
  CHECK(releases(group) == std::vector<ReleaseId>{1});
  CHECK(group.machine.find(1)->release == 1);
}

TEST_CASE("an added slot that crashes while the growth goes back gets no other worker") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, group_of(3, 3));
  group.ready(3);
  group.ready(2);
  CHECK(group.gone(4, "exit 1") ==
        Lines{"failed s2 w4: exit 1", "reverting s2 w0: slot 2: exit 1"});
  CHECK(group.gone(3) == Lines{"lend s1 to w2"});
  CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w2", "spawn w5 s0 r1", "starting s0 w5"});
}

TEST_CASE("a release for more slots that fails takes back both the release and the slots") {
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.roll(2, group_of(2)) == Lines{"spawn w2 s0 r2", "starting s0 w2", "lend s1 to w1"});
  group.replace(2, 1);
  CHECK(group.gone(3, "exit 1") == Lines{"failed s1 w3: exit 1", "reverting s1 w0: slot 1: exit 1",
                                         "spawn w4 s0 r1", "starting s0 w4"});
  group.ready(4);
  CHECK(group.gone(2, "exit 0") == Lines{"replaced s0 w4", "retire all but 1"});
  group.after(GroupMachine::kQueueLinger);
  CHECK(group.after(GroupMachine::kQueueLinger) ==
        Lines{"close all but 1", "roll rolled_back: slot 1: exit 1"});
  CHECK(releases(group) == std::vector<ReleaseId>{1});
}

TEST_CASE("a group shrinks: slots from the end drain to siblings, which then empty their queues") {
  Driver group(group_of(4));
  group.start_all();
  CHECK(group.resize(2, group_of(2)) == Lines{"retire all but 2", "drain w3 to w1 20000ms",
                                              "draining s2 w3", "drain w4 to w1 20000ms",
                                              "draining s3 w4", "lend s2 to w1", "lend s3 to w1"});
  CHECK_FALSE(group.machine.can_abort());
  CHECK(group.abort("too late") == kNothing);
  group.drained(4, 3);
  CHECK(group.gone(4, "exit 0") == Lines{"removed s3 w0, cut 3"});
  CHECK(group.gone(3, "exit 0") == Lines{"removed s2 w0"});
  CHECK(group.wait() == 1s);
  CHECK(group.after(1s) == Lines{"reclaim s2 from w1", "reclaim s3 from w1"});
  CHECK(group.after(1s) == Lines{"close all but 2", "roll done"});
  CHECK(group.machine.slots().size() == 2);
  CHECK(group.machine.workers().size() == 2);
}

TEST_CASE("a sibling that dies while it empties queues is relieved by another") {
  Driver group(group_of(3));
  group.start_all();
  group.resize(2, group_of(2));
  group.gone(3, "exit 0");
  group.now += 500ms;
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms", "lend s0 to w2", "lend s2 to w2"});
  CHECK(group.after(500ms) == Lines{"spawn w4 s0 r1", "reclaim s2 from w2"});
  SECTION("also at the last moment, when the queue is empty") {
    CHECK(group.gone(2) == Lines{"restart s1 in 0ms"});
    CHECK(group.after(1s) == Lines{"spawn w5 s1 r1", "close all but 2", "roll done"});
  }
  SECTION("or not at all") { CHECK(group.after(1s) == Lines{"close all but 2", "roll done"}); }
}

TEST_CASE("where the only sibling dies meanwhile, queues are emptied when it is back") {
  Driver group(group_of(2));
  group.start_all();
  group.resize(2, group_of(1));
  group.gone(2, "exit 0");
  group.now += 900ms;
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms"});
  CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
  CHECK(group.after(5s) == kNothing);
  CHECK(group.ready(3) == Lines{"serve w3", "lend s1 to w3"});
  CHECK(group.wait() == 1s);
  CHECK(group.after(1s) == Lines{"reclaim s1 from w3"});
}

TEST_CASE("a slot without a worker that is taken away is only closed") {
  Driver group(group_of(3));
  group.start_all();
  group.gone(3);
  group.after(0ms);
  CHECK(group.gone(4) == Lines{"restart s2 in 250ms"});
  CHECK(group.resize(2, group_of(2)) == Lines{"retire all but 2"});
  CHECK(group.after(250ms) == kNothing);
  CHECK(group.after(750ms) == Lines{"reclaim s2 from w1"});
  CHECK(group.after(1s) == Lines{"close all but 2", "roll done"});
}

TEST_CASE("a worker that is not ready yet goes at once when its slot is taken away") {
  Driver group(group_of(2));
  group.start(1);
  group.ready(1);
  CHECK(group.resize(2, group_of(1)) ==
        Lines{"retire all but 1", "signal 9 w2: the slot is taken away"});
  CHECK(group.gone(2) == Lines{"removed s1 w0"});
  group.after(1s);
  CHECK(group.after(1s) == Lines{"close all but 1", "roll done"});
}

TEST_CASE("queues that nobody can empty are closed when a worker had the time to start") {
  Driver group(group_of(2));
  group.start(1);
  CHECK(group.resize(2, group_of(1)) ==
        Lines{"retire all but 1", "signal 9 w2: the slot is taken away"});
  group.gone(2);
  CHECK(group.wait() == 10s);
  SECTION("none does") {
    CHECK(group.after(10s) == Lines{"signal 6 w1: not ready within start_timeout (10000 ms)",
                                    "close all but 1", "roll done"});
  }
  SECTION("one does") {
    group.now += 9s;
    CHECK(group.ready(1) == Lines{"serve w1", "lend s1 to w1"});
    CHECK(group.after(0ms) == kNothing);
    CHECK(group.wait() == 1s);
    CHECK(group.after(1s) == Lines{"reclaim s1 from w1"});
  }
}

TEST_CASE("a slot that is to go serves, and is restarted, until nothing can fail any more") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(1));
  CHECK(group.gone(2) == Lines{"restart s1 in 0ms", "lend s1 to w1"});
  CHECK(group.after(0ms) == Lines{"spawn w4 s1 r1"});
  group.ready(4);
  SECTION("the first slot's queue is with it meanwhile") {
    CHECK(group.gone(1) == Lines{"lend s0 to w4"});
  }
  SECTION("and it stays where the rollout fails") {
    CHECK(group.gone(3, "exit 1") == Lines{"failed s0 w3: exit 1",
                                           "reverting s0 w0: slot 0: exit 1",
                                           "roll rolled_back: slot 0: exit 1"});
    CHECK(group.machine.ready_count() == 2);
  }
  SECTION("and goes when all others are replaced") {
    group.ready(3);
    CHECK(group.gone(1, "exit 0") == Lines{"replaced s0 w3", "retire all but 1",
                                           "drain w4 to w3 20000ms", "draining s1 w4",
                                           "lend s1 to w3"});
  }
}

TEST_CASE("a crash while slots are taken away changes nothing about it") {
  Driver group(group_of(2));
  group.start_all();
  group.resize(2, group_of(1));
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms"});
  CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
  CHECK(group.gone(2, "exit 0") == Lines{"removed s1 w0"});
  CHECK(group.ready(3) == Lines{"serve w3", "lend s1 to w3"});
}

TEST_CASE(
    "a worker that crashes while its group is scaled is restarted, and no reason to go back") {
  Driver group(group_of(1));
  group.start_all();
  SECTION("to another release") { group.resize(2, group_of(2)); }
  SECTION("with the same release") { group.resize(1, group_of(2)); }
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms"});
  CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
  group.ready(3);
  CHECK(group.ready(2) ==
        Lines{"serve w2", "ready s1 w2", "replaced s1 w2", "reclaim s1 from w3", "roll done"});
}

TEST_CASE("a group that is added starts with every gate, and all or nothing") {
  GroupPolicy policy = group_of(2, 2);
  policy.probe = true;
  Driver group(group_of(0));
  CHECK(group.machine.slots().empty());
  CHECK(group.roll(7, policy) ==
        Lines{"spawn w1 s0 r7", "starting s0 w1", "spawn w2 s1 r7", "starting s1 w2"});
  CHECK(group.ready(1) == Lines{"probe w1"});
  CHECK(group.probed(1, true) ==
        Lines{"serve w1", "ready s0 w1", "replaced s0 w1", "lend s1 to w1"});
  SECTION("all") {
    group.ready(2);
    CHECK(group.probed(2, true) ==
          Lines{"serve w2", "ready s1 w2", "replaced s1 w2", "reclaim s1 from w1", "roll done"});
  }
  SECTION("nothing") {
    CHECK(group.gone(2, "exit 1") == Lines{"failed s1 w2: exit 1",
                                           "reverting s1 w0: slot 1: exit 1",
                                           "drain w1 to w0 20000ms", "draining s0 w1"});
    CHECK(group.gone(1, "exit 0") ==
          Lines{"removed s0 w0", "close all but 0", "roll rolled_back: slot 1: exit 1"});
    CHECK(group.machine.slots().empty());
    CHECK(group.wait() == -1ms);
    CHECK(group.stop(false) == Lines{"stopped"});
  }
}

TEST_CASE("a stop while slots are taken away ends everybody") {
  Driver group(group_of(2));
  group.start_all();
  group.resize(2, group_of(1));
  SECTION("while one drains") {
    CHECK(group.stop(false) ==
          Lines{"roll stopped: the daemon is stopping", "drain w1 to w0 20000ms"});
    CHECK(group.gone(2, "exit 0") == kNothing);
  }
  SECTION("while queues are emptied") {
    group.gone(2, "exit 0");
    CHECK(group.stop(false) ==
          Lines{"roll stopped: the daemon is stopping", "drain w1 to w0 20000ms"});
  }
  CHECK(group.gone(1, "exit 0") == Lines{"stopped"});
  CHECK(group.wait() == -1ms);
}

TEST_CASE("a slot that is being taken away does not count as one that is missing") {
  Driver group(group_of(3));
  group.start_all();
  group.resize(2, group_of(1));
  CHECK(group.machine.ready_count() == 1);
  CHECK(group.machine.is_doomed(1));
  CHECK_FALSE(group.machine.is_doomed(0));
  CHECK(group.machine.all_ready());
  SECTION("one that stays does") {
    group.gone(1);
    CHECK_FALSE(group.machine.all_ready());
  }
  SECTION("one that fails on its way out does not") {
    group.gone(2);
    CHECK(group.machine.all_ready());
  }
}

TEST_CASE("a slot that may still stay counts until the rollout is past its return") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(1));
  group.gone(2);
  CHECK_FALSE(group.machine.is_doomed(1));
  CHECK_FALSE(group.machine.all_ready());
}

#include <catch2/catch.hpp>

#include "machine_driver.hpp"
#include "supervisor/group_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

GroupPolicy stop_first(std::uint32_t count, std::uint32_t surge = 1) {
  GroupPolicy policy = group_of(count, surge);
  policy.stop_first = true;
  return policy;
}

}  // namespace

TEST_CASE("where memory is short each worker goes before its successor starts") {
  Driver group(group_of(2));
  group.start_all();
  CHECK(group.roll(2, stop_first(2)) ==
        Lines{"drain w1 to w2 20000ms", "draining s0 w1", "lend s0 to w2"});
  group.drained(1, 2);
  CHECK(group.gone(1, "exit 0") == Lines{"spawn w3 s0 r2", "starting s0 w3"});
  CHECK(group.ready(3) == Lines{"serve w3", "ready s0 w3", "replaced s0 w3, cut 2",
                                "drain w2 to w3 20000ms", "draining s1 w2", "lend s1 to w3"});
  CHECK(group.gone(2, "exit 0") == Lines{"spawn w4 s1 r2", "starting s1 w4"});
  CHECK(group.ready(4) ==
        Lines{"serve w4", "ready s1 w4", "replaced s1 w4", "reclaim s1 from w3", "roll done"});
}

TEST_CASE("a single worker that goes first drains politely: there is nobody to hand over to") {
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.roll(2, stop_first(1)) == Lines{"drain w1 to w0 20000ms", "draining s0 w1"});
  group.gone(1, "exit 0");
  CHECK(group.ready(2) == Lines{"serve w2", "ready s0 w2", "replaced s0 w2", "roll done"});
}

TEST_CASE("a successor that fails after its old worker went first: the old release comes back") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, stop_first(2));
  group.drained(1, 4);
  group.gone(1, "exit 0");
  CHECK(group.gone(3, "exit 1") ==
        Lines{"failed s0 w3: exit 1", "reverting s0 w0: slot 0: exit 1"});
  CHECK(group.wait() == 0ms);
  CHECK(group.after(0ms) == Lines{"spawn w4 s0 r1"});
  CHECK(group.machine.rolling());
  SECTION("and is waited for, with what was cut") {
    CHECK(group.ready(4) == Lines{"serve w4", "replaced s0 w4, cut 4", "reclaim s0 from w2",
                                  "roll rolled_back: slot 0: exit 1"});
  }
  SECTION("for one try") {
    CHECK(group.gone(4, "exit 2") == Lines{"restart s0 in 0ms", "roll partial: slot 0: exit 1"});
    CHECK(group.after(0ms) == Lines{"spawn w5 s0 r1"});
  }
  CHECK(releases(group) == std::vector<ReleaseId>{1, 1});
}

TEST_CASE(
    "an abort while an old worker that goes first drains waits for it and starts the old again") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, stop_first(2));
  CHECK(group.abort("aborted by ann") == Lines{"reverting s0 w0: aborted by ann"});
  CHECK(group.wait() == 25s);
  CHECK(group.gone(1, "exit 0") == kNothing);
  CHECK(group.wait() == 0ms);
  CHECK(group.after(0ms) == Lines{"spawn w3 s0 r1"});
  CHECK(group.ready(3) == Lines{"serve w3", "replaced s0 w3", "reclaim s0 from w2",
                                "roll rolled_back: aborted by ann"});
}

TEST_CASE("the way back goes slot by slot, too, the old worker first") {
  Driver group(group_of(3));
  group.start_all();
  group.roll(2, stop_first(3));
  group.gone(1, "exit 0");
  group.ready(4);
  group.gone(2, "exit 0");
  CHECK(group.gone(5, "exit 1") ==
        Lines{"failed s1 w5: exit 1", "reverting s1 w0: slot 1: exit 1"});
  INFO("the first slot waits until the second one serves again");
  CHECK(group.after(0ms) == Lines{"spawn w6 s1 r1"});
  CHECK(group.ready(6) == Lines{"serve w6", "replaced s1 w6", "drain w4 to w6 20000ms",
                                "draining s0 w4", "lend s0 to w6", "reclaim s1 from w3"});
  CHECK(group.gone(4, "exit 0") == Lines{"spawn w7 s0 r1", "starting s0 w7"});
  SECTION("it serves") {
    CHECK(group.ready(7) == Lines{"serve w7", "ready s0 w7", "replaced s0 w7", "reclaim s0 from w6",
                                  "roll rolled_back: slot 1: exit 1"});
  }
  SECTION("it is tried a second time since nothing else is left there") {
    CHECK(group.gone(7, "exit 3") == Lines{"failed s0 w7: exit 3"});
    CHECK(group.after(0ms) == Lines{"spawn w8 s0 r1"});
    CHECK(group.ready(8) == Lines{"serve w8", "replaced s0 w8", "reclaim s0 from w6",
                                  "roll rolled_back: slot 1: exit 1"});
  }
}

TEST_CASE("a slot that is dead already starts its successor at once") {
  Driver group(group_of(2));
  group.start_all();
  group.gone(1);
  CHECK(group.roll(2, stop_first(2)) == Lines{"spawn w3 s0 r2", "starting s0 w3"});
}

TEST_CASE("an old worker that must go first and does not is killed") {
  Driver group(group_of(1));
  group.start_all();
  group.roll(2, stop_first(1));
  CHECK(group.after(25s) == Lines{"signal 6 w1: it has not ended 5 s after drain_timeout"});
  CHECK(group.gone(1, "SIGABRT") == Lines{"spawn w2 s0 r2", "starting s0 w2"});
}

TEST_CASE("a stop while a slot is empty on purpose ends everybody") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, stop_first(2));
  SECTION("the old one drains") {
    CHECK(group.stop(false) ==
          Lines{"roll stopped: the daemon is stopping", "drain w2 to w0 20000ms"});
    CHECK(group.gone(1, "exit 0") == kNothing);
  }
  SECTION("the new one starts") {
    group.gone(1, "exit 0");
    CHECK(group.stop(false) == Lines{"roll stopped: the daemon is stopping",
                                     "drain w2 to w0 20000ms",
                                     "signal 9 w3: the group is stopping"});
    CHECK(group.gone(3) == kNothing);
  }
  CHECK(group.wait() == 25s);
  CHECK(group.gone(2, "exit 0") == Lines{"stopped"});
}

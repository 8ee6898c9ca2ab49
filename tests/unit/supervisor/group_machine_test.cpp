#include "supervisor/group_machine.hpp"

#include <catch2/catch.hpp>

#include "machine_driver.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

Lines operator+(Lines left, const Lines& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

}  // namespace

TEST_CASE("a cold start spawns one worker per slot and each serves when it is ready") {
  Driver group(group_of(2));
  CHECK(group.start(7) == Lines{"spawn w1 s0 r7", "spawn w2 s1 r7"});
  CHECK(group.machine.ready_count() == 0);
  CHECK(group.ready(2) == Lines{"serve w2", "lend s0 to w2"});
  CHECK(group.machine.ready_count() == 1);
  CHECK(group.ready(1) == Lines{"serve w1", "reclaim s0 from w2"});
  CHECK(group.machine.ready_count() == 2);
  CHECK(group.wait() == -1ms);
  CHECK(group.ready(1) == kNothing);
}

TEST_CASE("a worker that is not ready in time is ended and started again") {
  Driver group(group_of(1));
  group.start(1);
  CHECK(group.wait() == 10s);
  CHECK(group.after(9'999ms) == kNothing);
  CHECK(group.after(1ms) == Lines{"signal 6 w1: not ready within start_timeout (10000 ms)"});
  CHECK(group.ready(1) == kNothing);
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms"});
  CHECK(group.after(0ms) == Lines{"spawn w2 s0 r1"});
}

TEST_CASE("a crashed worker is restarted at once, then with backoff, then called a crash loop") {
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms"});
  const std::vector<std::pair<milliseconds, std::string>> next{{0ms, "restart s0 in 250ms"},
                                                               {250ms, "restart s0 in 500ms"},
                                                               {500ms, "restart s0 in 1000ms"}};
  WorkerId worker = 2;
  for (const auto& [wait, line] : next) {
    CHECK(group.wait() == wait);
    CHECK(group.after(wait) == Lines{"spawn w" + std::to_string(worker) + " s0 r1"});
    CHECK(group.ready(worker) == Lines{"serve w" + std::to_string(worker)});
    CHECK(group.gone(worker) == Lines{line});
    ++worker;
  }
  group.after(1s);
  CHECK(group.gone(worker) == Lines{"restart s0 in 2000ms, crash-loop"});
  CHECK(group.machine.slots()[0].restarts == 5);

  group.after(2s);
  group.ready(++worker);
  group.now += RestartPolicy::kStable;
  CHECK(group.gone(worker) == Lines{"restart s0 in 0ms"});
}

TEST_CASE("events of a worker that is not known change nothing") {
  Driver group(group_of(1));
  group.start_all();
  CHECK(group.ready(9) == kNothing);
  CHECK(group.probed(9, true) == kNothing);
  CHECK(group.probed(1, false, "never asked") == kNothing);
  CHECK(group.drained(9, 3) == kNothing);
  CHECK(group.gone(9) == kNothing);
  CHECK(group.machine.ready_count() == 1);
}

TEST_CASE("a dead slot is with a serving sibling until it has a worker again") {
  Driver group(group_of(3));
  group.start_all();
  CHECK(group.gone(1) == Lines{"restart s0 in 0ms", "lend s0 to w2"});
  CHECK(group.after(0ms) == Lines{"spawn w4 s0 r1"});
  CHECK(group.gone(2) == Lines{"restart s1 in 0ms", "lend s0 to w3", "lend s1 to w3"});
  CHECK(group.ready(4) == Lines{"serve w4", "reclaim s0 from w3"});
  CHECK(group.gone(3) == Lines{"restart s2 in 0ms", "lend s1 to w4", "lend s2 to w4"});
  CHECK(group.gone(4) == Lines{"restart s0 in 250ms"});
  for (const auto& slot : group.machine.slots()) CHECK(slot.lent_to == 0);
}

TEST_CASE("a dead slot is never with a draining worker: it goes on to the successor") {
  Driver group(group_of(2));
  group.start_all();
  group.roll(2, group_of(2));
  CHECK(group.gone(2) == Lines{"restart s1 in 0ms", "lend s1 to w1"});
  CHECK(group.ready(3) == Lines{"serve w3", "ready s0 w3", "drain w1 to w3 20000ms",
                                "draining s0 w1", "lend s1 to w3"});
}

TEST_CASE("a graceful stop drains everybody politely and ends with nobody left") {
  Driver group(group_of(2));
  group.start_all();
  CHECK(group.stop(false) == Lines{"drain w1 to w0 20000ms", "drain w2 to w0 20000ms"});
  CHECK(group.stop(false) == kNothing);
  CHECK(group.gone(1) == kNothing);
  CHECK(group.gone(2) == Lines{"stopped"});
  CHECK(group.machine.workers().empty());
  CHECK(group.wait() == -1ms);
  CHECK(group.stop(true) == kNothing);
}

TEST_CASE("a fast stop hurries a graceful one and never gives more time") {
  Driver group(group_of(1));
  group.start_all();
  group.stop(false);
  CHECK(group.wait() == 20s + GroupMachine::kDrainGrace);
  group.now += 1s;
  CHECK(group.stop(true) == Lines{"drain w1 to w0 0ms"});
  CHECK(group.wait() == GroupMachine::kDrainGrace);
  group.now += 4s;
  group.stop(true);
  CHECK(group.wait() == 1s);
  CHECK(group.after(1s) == Lines{"signal 9 w1: it did not end in time"});
  CHECK(group.stop(true) == kNothing);
  CHECK(group.gone(1) == Lines{"stopped"});
}

TEST_CASE("a stop kills workers that do not serve yet and forgets restarts") {
  Driver group(group_of(2));
  group.start(1);
  group.gone(2);
  CHECK(group.stop(false) == Lines{"signal 9 w1: the group is stopping"});
  CHECK(group.wait() == -1ms);
  CHECK(group.ready(1) == kNothing);
  CHECK(group.gone(1) == Lines{"stopped"});
}

TEST_CASE("a group that was never started stops at once") {
  Driver group(group_of(2));
  CHECK(group.stop(false) == Lines{"stopped"});
}

TEST_CASE("a stop in every phase of a rollout ends it and leaves nobody") {
  GroupPolicy policy = group_of(2);
  policy.probe = true;
  policy.min_ready = 1s;
  Driver group(policy);
  group.start_all();
  group.roll(2, policy);
  Lines expected{"roll stopped: the daemon is stopping"};
  const Lines all{"drain w1 to w0 20000ms", "drain w2 to w0 20000ms"};
  const Lines candidate{"signal 9 w3: the group is stopping"};
  std::vector<WorkerId> left{1, 2, 3};

  SECTION("starting") { expected = expected + all + candidate; }
  SECTION("probing") {
    group.ready(3);
    expected = expected + all + candidate;
  }
  SECTION("settling") {
    group.ready(3);
    group.probed(3, true);
    expected = expected + all + candidate;
  }
  SECTION("draining") {
    group.ready(3);
    group.probed(3, true);
    group.after(1s);
    expected = expected + Lines{"drain w2 to w0 20000ms", "drain w3 to w0 20000ms"};
  }
  SECTION("a killed candidate is still there") {
    group.ready(3);
    group.probed(3, false, "404");
    expected = expected + all;
  }
  SECTION("reverting") {
    group.ready(3);
    group.probed(3, true);
    group.after(1s);
    group.gone(1);
    group.gone(4, "exit 1");
    expected = expected + Lines{"drain w2 to w0 20000ms", "drain w3 to w0 20000ms",
                                "signal 9 w5: the group is stopping"};
    left = {2, 3, 5};
  }

  CHECK(group.stop(false) == expected);
  CHECK_FALSE(group.machine.rolling());
  CHECK(group.gone(left[2]) == kNothing);
  CHECK(group.gone(left[0]) == kNothing);
  CHECK(group.gone(left[1]) == Lines{"stopped"});
  CHECK(group.wait() == -1ms);
  CHECK(group.after(1h) == kNothing);
}

#include <catch2/catch.hpp>
#include <limits>

#include "support.hpp"

using namespace appserver::config;
using namespace std::chrono_literals;

TEST_CASE("a group that says nothing of it has no canary, no recycling, and a watchdog") {
  const Group group = load_group("");
  CHECK(group.reload == Reload{});
  CHECK(group.reload.canary.slots == 0);
  CHECK(group.recycle == Recycle{});
  CHECK(group.hang_timeout == 30s);
}

TEST_CASE("recycling and the watchdog are read, and zero turns them off") {
  const Group group = load_group(
      "    recycle: {max_requests: 9223372036854775807, max_memory: 512MiB, max_lifetime: 1d}\n"
      "    hang_timeout: 100ms\n");
  CHECK(group.recycle == Recycle{std::numeric_limits<std::int64_t>::max(), Bytes{512u << 20}, 24h});
  CHECK(group.hang_timeout == 100ms);
  const Group off = load_group(
      "    recycle: {max_requests: 0, max_memory: 0, max_lifetime: 0s}\n"
      "    hang_timeout: 0s\n");
  CHECK(off.recycle == Recycle{});
  CHECK(off.hang_timeout == 0s);
}

TEST_CASE("a worker is not replaced for doing its work") {
  CHECK(group_problems("    hang_timeout: 99ms\n") ==
        Lines{"app.yaml:4:19: groups.api.hang_timeout: expected 0s for off, or a duration of at "
              "least 100ms, got '99ms'"});
  CHECK(group_problems("    recycle: {max_memory: 512}\n") ==
        Lines{"app.yaml:4:27: groups.api.recycle.max_memory: expected 0 for off, or a size of at "
              "least 1MiB, got '512'"});
  CHECK(group_problems("    recycle: {max_lifetime: 999ms}\n").size() == 1);
  CHECK(group_problems("    recycle: {max_requests: -1}\n").size() == 1);
  CHECK(group_problems("    recycle: {max_age: 1d}\n").size() == 1);
}

TEST_CASE("a rollout's deadline is at least a second, and confirming may be off") {
  CHECK(group_problems("    reload: {deadline: 999ms}\n") ==
        Lines{"app.yaml:4:24: groups.api.reload.deadline: expected a duration of at least 1s, got "
              "'999ms'"});
  CHECK(group_problems("    reload: {deadline: 1s, confirm_within: 0s, reserve_memory: 0}\n")
            .empty());
  CHECK(group_problems("    reload: {reserve_memory: 10%}\n").size() == 1);
}

TEST_CASE("a canary's values out of their range are refused") {
  const auto problems = [](const std::string& canary) {
    return group_problems("    count: 1024\n    reload: {canary: {" + canary + "}}\n");
  };
  CHECK(problems("slots: 1023, hold: 1ms, min_requests: 0").empty());
  CHECK(problems("slots: 1025").size() == 1);
  CHECK(problems("slots: -1").size() == 1);
  CHECK(problems("hold: 0s").size() == 1);
  CHECK(problems("min_requests: 4294967296").size() == 1);
  CHECK(problems("on_inconclusive: abort") ==
        Lines{"app.yaml:5:40: groups.api.reload.canary.on_inconclusive: expected continue, "
              "rollback or wait, got 'abort'"});
  CHECK(problems("slot: 1") == Lines{"app.yaml:5:23: unknown key 'slot' in "
                                     "groups.api.reload.canary; did you mean 'slots'?"});
}

TEST_CASE("a canary of all workers is refused, for nobody is left to compare with") {
  CHECK(group_problems("    count: 2\n    reload: {canary: {slots: 2}}\n") ==
        Lines{"app.yaml:5:30: groups.api.reload.canary.slots: expected less than count (2), got "
              "2; somebody must be left to compare with"});
  CHECK(group_problems("    reload: {canary: {slots: 1}}\n") ==
        Lines{"app.yaml:4:30: groups.api.reload.canary.slots: expected less than count (1), got "
              "1; somebody must be left to compare with"});
  CHECK(group_problems("    reload: {canary: {slots: 1}}\n    count: 2\n").empty());
  CHECK(group_problems("    reload: {canary: {slots: 0}}\n").empty());
}

TEST_CASE("a canary is held against the workers that auto stands for") {
  const std::uint32_t count = load_group("    count: auto\n").count;
  const auto problems = [](std::uint32_t slots) {
    return group_problems("    count: auto\n    reload: {canary: {slots: " + std::to_string(slots) +
                          "}}\n");
  };
  CHECK(problems(count).size() == 1);
  CHECK(problems(count - 1).empty());
}

TEST_CASE("a wrong count is not blamed on the canary, too") {
  CHECK(group_problems("    count: many\n    reload: {canary: {slots: 3}}\n").size() == 1);
}

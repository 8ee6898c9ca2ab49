#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "fake_world.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kSequences = 20'000;

GroupPolicy random_policy(std::mt19937_64& random) {
  GroupPolicy policy;
  policy.count = 1 + static_cast<std::uint32_t>(random() % 5);
  policy.surge = 1 + static_cast<std::uint32_t>(random() % 3);
  policy.start_timeout = 10s;
  policy.min_ready = random() % 2 == 0 ? 0ms : 1'500ms;
  policy.drain_timeout = random() % 4 == 0 ? 0ms : 20s;
  policy.probe = random() % 2 == 0;
  return policy;
}

void random_events(FakeWorld& world) {
  const std::uint32_t events = 2 + world.random(6);
  for (std::uint32_t event = 0; event < events; ++event) {
    world.pass(milliseconds(world.random(world.random(3) == 0 ? 60'000 : 5'000)));
    switch (world.random(3)) {
      case 0:
        world.crash_one();
        break;
      default:
        world.roll();
        break;
    }
  }
}

void run_to_the_end(FakeWorld& world) {
  if (world.random(2) == 0) {
    world.make_healthy();
    world.pass(30min);
    if (!world.broken().empty()) return;
    REQUIRE_FALSE(world.machine().rolling());
    REQUIRE(world.all_serve());
  }
  world.stop(world.random(3) == 0);
  if (world.random(2) == 0) {
    world.pass(milliseconds(world.random(10'000)));
    world.stop(true);
  }
  world.pass(10min);
  if (!world.broken().empty()) return;
  REQUIRE(world.ended());
  REQUIRE_FALSE(world.machine().next_deadline());
}

std::uint64_t first_seed() {
  const char* given = std::getenv("GROUP_MODEL_SEED");
  return given == nullptr ? 20'000 : std::stoull(given);
}

}  // namespace

TEST_CASE("whatever workers do, a group keeps its promises") {
  const std::uint64_t first = first_seed();
  std::uint64_t steps = 0;
  std::array<std::uint64_t, 4> ended{};
  for (std::uint64_t seed = first; seed < first + kSequences; ++seed) {
    std::mt19937_64 random(seed);
    const GroupPolicy policy = random_policy(random);
    INFO("seed " << seed << " (GROUP_MODEL_SEED starts there), count " << policy.count << ", surge "
                 << policy.surge);
    FakeWorld world(policy, random());
    world.start();
    random_events(world);
    run_to_the_end(world);
    REQUIRE(world.broken() == "");
    steps += world.steps();
    for (const auto outcome :
         {Outcome::done, Outcome::rolled_back, Outcome::partial, Outcome::stopped}) {
      ended.at(static_cast<std::size_t>(outcome)) += world.rolls_ended(outcome);
    }
  }
  // The model is worth nothing where chance never leads it anywhere.
  for (const std::uint64_t count : ended) CHECK(count > 1'000);
  CHECK(steps > 20 * kSequences);
}

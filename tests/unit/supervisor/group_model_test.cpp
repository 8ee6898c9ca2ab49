#include <array>
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
  policy.start_timeout = 10s;
  policy.min_ready = random() % 2 == 0 ? 0ms : 1'500ms;
  policy.drain_timeout = random() % 4 == 0 ? 0ms : 20s;
  policy.probe = random() % 2 == 0;
  return policy;
}

void random_event(FakeWorld& world) {
  switch (world.random(12)) {
    case 0:
      return world.crash_one();
    case 1:
      return world.stall_one();
    case 2:
      return world.suspect_one();
    case 3:
      return world.abort();
    case 4:
    case 5:
      return world.recycle_one();
    case 6:
    case 7:
      return world.scale();
    default:
      return world.roll();
  }
}

void random_events(FakeWorld& world) {
  const std::uint32_t events = 3 + world.random(10);
  for (std::uint32_t event = 0; event < events && world.broken().empty(); ++event) {
    world.pass(milliseconds(world.random(world.random(3) == 0 ? 60'000 : 5'000)));
    random_event(world);
  }
}

void run_to_the_end(FakeWorld& world) {
  if (world.random(2) == 0) {
    world.make_healthy();
    world.pass(30min);
    if (!world.broken().empty()) return;
    REQUIRE_FALSE(world.machine().rolling());
    REQUIRE(world.is_as_promised());
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

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* given = std::getenv(variable);
  return given == nullptr ? otherwise : std::stoull(given);
}

}  // namespace

// GROUP_MODEL_SEED starts somewhere else, GROUP_MODEL_COUNT runs fewer or more; one sequence alone
// is told line by line.
TEST_CASE("whatever workers and people do, a group keeps its promises") {
  const std::uint64_t first = number_from("GROUP_MODEL_SEED", 20'000);
  const std::uint64_t sequences = number_from("GROUP_MODEL_COUNT", kSequences);
  std::uint64_t steps = 0;
  std::uint64_t recycled = 0;
  std::uint64_t closed = 0;
  std::uint64_t states = 0;
  std::array<std::uint64_t, 4> ended{};
  for (std::uint64_t seed = first; seed < first + sequences; ++seed) {
    std::mt19937_64 random(seed);
    const GroupPolicy policy = random_policy(random);
    const bool by_roll = random() % 8 == 0;
    INFO("GROUP_MODEL_SEED=" << seed << " GROUP_MODEL_COUNT=1");
    FakeWorld world(policy, by_roll, random());
    world.trace(sequences == 1);
    world.start();
    random_events(world);
    run_to_the_end(world);
    REQUIRE(world.broken() == "");
    steps += world.steps();
    recycled += world.recycled();
    closed += world.closed();
    states += world.states();
    for (const auto outcome :
         {Outcome::done, Outcome::rolled_back, Outcome::partial, Outcome::stopped}) {
      ended.at(static_cast<std::size_t>(outcome)) += world.rolls_ended(outcome);
    }
  }
  if (sequences < kSequences) return;
  // The model is worth nothing where chance never leads it anywhere.
  for (const std::uint64_t count : ended) CHECK(count > 1'000);
  CHECK(recycled > 1'000);
  CHECK(closed > 1'000);
  CHECK(states > 1'000);
  CHECK(steps > 20 * kSequences);
}

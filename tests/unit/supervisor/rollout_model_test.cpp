#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fake_world.hpp"
#include "supervisor/rollout_machine.hpp"

using namespace appserver::supervisor;
using namespace std::chrono_literals;
using appserver::control::RolloutResult;

namespace {

constexpr std::uint64_t kSequences = 5'000;
constexpr ReleaseId kBefore = 1;
constexpr ReleaseId kTarget = 2;
constexpr milliseconds kStep{700};
// Of the groups' own time; far more than their rollouts may take one after the other.
constexpr int kMostSteps = 20'000;

// Several groups, a plan for them, and what may go wrong on the way.
class Fleet final {
 public:
  explicit Fleet(std::uint64_t seed) : random_(seed) {
    std::vector<PlannedChange> plan;
    const std::uint32_t groups = below(5);
    for (std::uint32_t index = 0; index < groups; ++index) {
      const auto change = static_cast<Change>(below(5));
      plan.push_back({fmt::format("g{}", index), change});
      if (change != Change::add) begin_group(plan.back().group);
    }
    plan_ = plan;
    dry_run_ = below(10) == 0;
    machine_.emplace(std::move(plan), dry_run_);
  }

  void run() {
    apply(machine_->begin());
    const int abort_at = below(4) == 0 ? static_cast<int>(below(200)) : -1;
    const int stop_at = below(8) == 0 ? static_cast<int>(below(200)) : -1;
    for (int step = 0; step < kMostSteps && !result_ && broken_.empty(); ++step) {
      for (auto& [name, world] : worlds_) pass(name, *world);
      if (below(50) == 0) crash_loop();
      if (step == abort_at) abort();
      if (step == stop_at) stop();
      answer();
    }
    expect(result_.has_value(), "the rollout does not end");
    if (broken_.empty()) check_end();
  }

  const std::string& broken() const { return broken_; }
  RolloutResult result() const { return *result_; }
  bool crash_looped() const { return crash_looped_; }

 private:
  enum class Question { none, preflight, enter, commit, record };

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  void expect(bool kept, const std::string& promise) {
    if (!kept && broken_.empty()) broken_ = promise;
  }

  std::unique_ptr<FakeWorld> make_world(bool by_roll) {
    GroupPolicy policy;
    policy.count = 1 + below(3);
    policy.start_timeout = 10s;
    policy.drain_timeout = 20s;
    auto world = std::make_unique<FakeWorld>(policy, by_roll, random_());
    if (below(6) != 0)
      world->make_healthy();
    else if (below(2) == 0)
      world->spoil(kTarget);
    return world;
  }

  void begin_group(const std::string& name) {
    auto world = make_world(false);
    world->start();
    world->pass(30s);
    before_[name] = world->policy();
    worlds_[name] = std::move(world);
  }

  const PlannedChange& plan_of(const std::string& name) const {
    return *std::ranges::find(plan_, name, &PlannedChange::group);
  }

  void pass(const std::string& name, FakeWorld& world) {
    world.pass(kStep);
    expect(world.broken().empty(), name + ": " + world.broken());
    if (below(400) == 0) world.crash_one();
  }

  void abort() {
    const auto state = machine_->state();
    const auto group = worlds_.find(machine_->group());
    if (state == RolloutMachine::State::rolling && group != worlds_.end()) group->second->abort();
    const RolloutEffects effects = machine_->abort("somebody");
    const bool untouched =
        state == RolloutMachine::State::preflight || state == RolloutMachine::State::entering;
    expect(effects.empty() || untouched, "an abort refuses what has begun");
    apply(effects);
  }

  // Of any group, whatever it does.
  void crash_loop() {
    if (plan_.empty()) return;
    const std::string name = plan_[below(static_cast<std::uint32_t>(plan_.size()))].group;
    const bool counts = machine_->state() == RolloutMachine::State::rolling &&
                        machine_->has_new_code_in(name) && !crash_looped_;
    const RolloutEffects effects = machine_->crash_looping(name);
    expect(effects.empty() != counts, "a crash-loop counts for nothing, or counts twice");
    crash_looped_ = crash_looped_ || counts;
    apply(effects);
  }

  void stop() {
    for (auto& [name, world] : worlds_) world->stop(true);
    stopping_ = true;
    apply(machine_->stop("the daemon is stopping"));
  }

  // What somebody else has found out meanwhile.
  void answer() {
    const std::string why_not = below(12) == 0 ? "bad luck" : "";
    switch (std::exchange(question_, Question::none)) {
      case Question::preflight:
        return apply(machine_->preflighted(why_not));
      case Question::enter:
        entered_ = entered_ || why_not.empty();
        return apply(machine_->entered(why_not));
      case Question::commit:
        committed_ = committed_ || why_not.empty();
        return apply(machine_->committed(why_not));
      case Question::record:
        return apply(machine_->recorded(why_not));
      case Question::none:
        break;
    }
    std::vector<std::string> gone;
    for (auto& [name, world] : worlds_) {
      const auto outcome = world->take_outcome();
      if (outcome && name == rolling_) return group_done(*outcome);
      if (world->ended()) gone.push_back(name);
    }
    if (stopping_) return;
    for (const std::string& name : gone) {
      worlds_.erase(name);
      const bool reverted = std::exchange(rolling_, "") == name;
      apply(reverted ? machine_->reverted(Outcome::done, {}) : machine_->ended(name));
    }
  }

  void group_done(Outcome outcome) {
    const std::string name = std::exchange(rolling_, "");
    if (below(30) == 0) {
      machine_->add_cut(1);
      cut_ = true;
    }
    const bool back = machine_->state() == RolloutMachine::State::reverting;
    if (outcome == Outcome::partial || (back && outcome != Outcome::done)) stuck_ = true;
    apply(back ? machine_->reverted(outcome, "why") : machine_->rolled(outcome, "why"));
  }

  void carry_out(const rollout_effect::Preflight& preflight) {
    const Change change = plan_of(preflight.group).change;
    expect(rolls_ == 0, "a preflight after something was touched");
    expect(change == Change::add || change == Change::roll, "a preflight of code that runs");
    ++preflights_;
    question_ = Question::preflight;
  }

  void carry_out(const rollout_effect::Enter&) {
    expect(!dry_run_ && !entered_ && rolls_ == 0, "the history is told at the wrong time");
    question_ = Question::enter;
  }

  void carry_out(const rollout_effect::Roll& roll) {
    expect(entered_, "a group is rolled that the history does not tell of");
    expect(!dry_run_ && !committed_, "a group is rolled that must not be");
    expect(plan_of(roll.group).change == roll.change, "a group is rolled against the plan");
    expect(rolling_.empty(), "two groups are rolled together");
    ++rolls_;
    rolling_ = roll.group;
    if (roll.change == Change::add) worlds_[roll.group] = make_world(true);
    FakeWorld& world = *worlds_.at(roll.group);
    GroupPolicy policy = world.policy();
    if (roll.change == Change::resize || policy.count == 0) policy.count = 1 + below(4);
    policy.surge = 1 + below(2);
    policy.stop_first = below(4) == 0;
    policy.canary = roll.change == Change::roll ? below(2) : 0;
    policy.hold = 5s;
    policy.deadline = below(4) == 0 ? 60s : 0s;
    world.order(kTarget, policy, roll.change == Change::resize ? Replace::none : Replace::all);
  }

  void carry_out(const rollout_effect::Revert& revert) {
    expect(!committed_, "a group goes back after the release was committed");
    expect(rolling_.empty(), "two groups go back together");
    rolling_ = revert.group;
    FakeWorld& world = *worlds_.at(revert.group);
    if (revert.change == Change::add) return world.stop(false);
    world.order(kBefore, before_.at(revert.group),
                revert.change == Change::resize ? Replace::none : Replace::all);
  }

  void carry_out(const rollout_effect::GiveUp& give_up) {
    expect(give_up.group == rolling_ && !rolling_.empty(), "a group gives up that does not roll");
    worlds_.at(give_up.group)->abort();
  }

  void carry_out(const rollout_effect::End& end) {
    expect(committed_, "a group ends before the release is committed");
    expect(plan_of(end.group).change == Change::remove, "a group ends that is to stay");
    worlds_.at(end.group)->stop(false);
  }

  void carry_out(const rollout_effect::Commit&) {
    expect(!crash_looped_, "a release is committed that crash-loops");
    expect(entered_, "a release is committed that the history did not tell of");
    expect(++commits_ == 1, "a release is committed twice");
    for (const PlannedChange& each : plan_) {
      const bool untouched = each.change == Change::keep || each.change == Change::remove;
      expect(worlds_.at(each.group)->in_force() == (untouched ? kBefore : kTarget),
             "a release is committed that does not run");
    }
    question_ = Question::commit;
  }

  void carry_out(const rollout_effect::Record&) {
    expect(!committed_, "what was committed is recorded as a failure");
    question_ = Question::record;
  }

  void carry_out(const rollout_effect::Finish& finish) {
    expect(!result_, "a rollout finishes twice");
    expect((finish.result == RolloutResult::done) == finish.why.empty(), "a reason is missing");
    result_ = finish.result;
  }

  void apply(const RolloutEffects& effects) {
    for (const RolloutEffect& effect : effects)
      std::visit([this](const auto& one) { carry_out(one); }, effect);
  }

  void check_end() {
    expect(machine_->state() == RolloutMachine::State::over, "it has finished and is not over");
    expect((*result_ == RolloutResult::stopped) == stopping_, "only a stop ends as stopped");
    if (!stopping_) check_result();
    for (const RolloutEffects& late :
         {machine_->committed({}), machine_->recorded({}), machine_->entered({}),
          machine_->preflighted({}), machine_->rolled(Outcome::done, {}), machine_->stop("late"),
          machine_->abort("late")})
      expect(late.empty(), "something follows the end");
  }

  void check_result() {
    switch (*result_) {
      case RolloutResult::done:
        expect(!cut_ || dry_run_, "done, though connections were cut");
        return dry_run_ ? check_untouched() : check_plan_is_carried_out();
      case RolloutResult::refused:
        return check_untouched();
      case RolloutResult::rolled_back:
        expect(!stuck_, "rolled back, though a worker could not be brought back");
        return check_as_before();
      case RolloutResult::partial:
        if (committed_) return check_plan_is_carried_out();
        expect(stuck_, "partial, though everything went back");
        return;
      default:
        expect(false, "a result that no rollout has");
    }
  }

  void check_plan_is_carried_out() {
    const bool idle = std::ranges::all_of(
        plan_, [](const PlannedChange& each) { return each.change == Change::keep; });
    expect(committed_ != idle, "a release is committed without need, or not committed");
    for (const PlannedChange& each : plan_) {
      const auto world = worlds_.find(each.group);
      expect((world == worlds_.end()) == (each.change == Change::remove),
             "a group is there that is to be gone, or the other way round");
      if (world == worlds_.end()) continue;
      const ReleaseId release = each.change == Change::keep ? kBefore : kTarget;
      expect(world->second->in_force() == release, "a group is not on its target");
      expect(!world->second->machine().rolling(), "a group is still being rolled");
    }
  }

  void check_as_before() {
    expect(!committed_, "a release is committed and taken back");
    for (const PlannedChange& each : plan_) {
      const auto world = worlds_.find(each.group);
      expect((world == worlds_.end()) == (each.change == Change::add),
             "an added group is still there, or another one is gone");
      if (world == worlds_.end()) continue;
      const GroupMachine& group = world->second->machine();
      expect(world->second->in_force() == kBefore, "a group is not back");
      expect(group.slots().size() == before_.at(each.group).count, "a group has other slots");
      expect(!group.rolling() && !group.stopping(), "a group is not at rest");
    }
  }

  void check_untouched() {
    expect(rolls_ == 0 && commits_ == 0, "something was touched");
    check_as_before();
  }

  std::mt19937_64 random_;
  std::vector<PlannedChange> plan_;
  std::map<std::string, std::unique_ptr<FakeWorld>> worlds_;
  std::map<std::string, GroupPolicy> before_;
  std::optional<RolloutMachine> machine_;
  Question question_ = Question::none;
  std::string rolling_;
  int preflights_ = 0;
  int rolls_ = 0;
  int commits_ = 0;
  bool dry_run_ = false;
  bool entered_ = false;
  bool committed_ = false;
  bool stopping_ = false;
  bool stuck_ = false;
  bool crash_looped_ = false;  // and the rollout was to fail for it
  bool cut_ = false;
  std::optional<RolloutResult> result_;
  std::string broken_;
};

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* given = std::getenv(variable);
  return given == nullptr ? otherwise : std::stoull(given);
}

}  // namespace

// ROLLOUT_MODEL_SEED starts somewhere else, ROLLOUT_MODEL_COUNT runs fewer or more.
TEST_CASE("whatever groups do, a rollout is whole or it never was") {
  const std::uint64_t first = number_from("ROLLOUT_MODEL_SEED", 70'000);
  const std::uint64_t sequences = number_from("ROLLOUT_MODEL_COUNT", kSequences);
  std::map<RolloutResult, std::uint64_t> results;
  std::uint64_t crash_looped = 0;
  for (std::uint64_t seed = first; seed < first + sequences; ++seed) {
    INFO("ROLLOUT_MODEL_SEED=" << seed << " ROLLOUT_MODEL_COUNT=1");
    Fleet fleet(seed);
    fleet.run();
    REQUIRE(fleet.broken() == "");
    ++results[fleet.result()];
    if (fleet.crash_looped()) ++crash_looped;
  }
  if (sequences < kSequences) return;
  // The model is worth nothing where chance never leads it anywhere.
  for (const auto result : {RolloutResult::done, RolloutResult::refused, RolloutResult::rolled_back,
                            RolloutResult::partial, RolloutResult::stopped})
    CHECK(results[result] > kSequences / 100);
  CHECK(crash_looped > kSequences / 100);
}

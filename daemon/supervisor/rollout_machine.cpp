#include "supervisor/rollout_machine.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace appserver::supervisor {

using namespace rollout_effect;
using control::RolloutResult;

namespace {

bool has_new_code(Change change) { return change == Change::add || change == Change::roll; }
std::string connections(std::uint64_t count) {
  return count == 1 ? std::string("1 connection was") : fmt::format("{} connections were", count);
}
bool is_rolled(Change change) { return has_new_code(change) || change == Change::resize; }

}  // namespace

RolloutMachine::RolloutMachine(std::vector<PlannedChange> plan, bool dry_run)
    : plan_(std::move(plan)), dry_run_(dry_run) {}

RolloutEffects RolloutMachine::finish(RolloutResult result, std::string why) {
  state_ = State::over;
  current_.clear();
  return {Finish{result, std::move(why)}};
}

RolloutEffects RolloutMachine::begin() { return next_preflight(); }

RolloutEffects RolloutMachine::next_preflight() {
  while (position_ < plan_.size() && !has_new_code(plan_[position_].change)) ++position_;
  if (position_ < plan_.size()) {
    current_ = plan_[position_].group;
    return {Preflight{current_}};
  }
  if (dry_run_) return finish(RolloutResult::done, {});
  const bool idle = std::ranges::all_of(
      plan_, [](const PlannedChange& each) { return each.change == Change::keep; });
  if (idle) return finish(RolloutResult::done, {});
  current_.clear();
  state_ = State::entering;
  return {Enter{}};
}

RolloutEffects RolloutMachine::entered(const std::string& why_not) {
  if (state_ != State::entering) return {};
  if (!why_not.empty()) return finish(RolloutResult::refused, why_not);
  position_ = 0;
  state_ = State::rolling;
  return next_roll();
}

RolloutEffects RolloutMachine::preflighted(const std::string& why_not) {
  if (state_ != State::preflight) return {};
  if (!why_not.empty())
    return finish(RolloutResult::refused, fmt::format("{}: {}", current_, why_not));
  ++position_;
  return next_preflight();
}

RolloutEffects RolloutMachine::next_roll() {
  while (position_ < plan_.size() && !is_rolled(plan_[position_].change)) ++position_;
  if (position_ < plan_.size()) {
    current_ = plan_[position_].group;
    return {Roll{current_, plan_[position_].change}};
  }
  current_.clear();
  state_ = State::committing;
  return {Commit{}};
}

RolloutEffects RolloutMachine::rolled(Outcome outcome, const std::string& why) {
  if (state_ != State::rolling) return {};
  const PlannedChange& step = plan_[position_];
  if (outcome == Outcome::stopped) return finish(RolloutResult::stopped, why);
  const bool done = outcome == Outcome::done;
  // One that was rolled back is back, but an added group is still there, without workers.
  if (done || step.change == Change::add) done_.push_back(step);
  if (done && !gives_up()) {
    ++position_;
    return next_roll();
  }
  if (!gives_up()) reason_ = fmt::format("{}: {}", step.group, why);
  stuck_ = outcome == Outcome::partial;
  state_ = State::reverting;
  return revert_next();
}

// The groups that were rolled before the one that failed go back, too: a reload is whole or not at
// all.
RolloutEffects RolloutMachine::revert_next() {
  if (done_.empty()) {
    current_.clear();
    state_ = State::recording;
    return {Record{reason_}};
  }
  const PlannedChange next = done_.back();
  done_.pop_back();
  current_ = next.group;
  return {Revert{next.group, next.change}};
}

RolloutEffects RolloutMachine::reverted(Outcome outcome, const std::string& why) {
  if (state_ != State::reverting) return {};
  if (outcome == Outcome::stopped) return finish(RolloutResult::stopped, why);
  stuck_ = stuck_ || outcome != Outcome::done;
  return revert_next();
}

RolloutEffects RolloutMachine::committed(const std::string& why_not) {
  if (state_ != State::committing) return {};
  if (why_not.empty()) return remove_all();
  reason_ = why_not;
  state_ = State::reverting;
  return revert_next();
}

RolloutEffects RolloutMachine::remove_all() {
  state_ = State::removing;
  RolloutEffects effects;
  for (const PlannedChange& step : plan_) {
    if (step.change != Change::remove) continue;
    ending_.push_back(step.group);
    effects.emplace_back(End{step.group});
  }
  return ending_.empty() ? finish_well() : effects;
}

RolloutEffects RolloutMachine::ended(const std::string& group) {
  if (state_ != State::removing || std::erase(ending_, group) == 0 || !ending_.empty()) return {};
  return finish_well();
}

RolloutEffects RolloutMachine::finish_well() {
  // `done` promises that nobody noticed.
  if (cut_ == 0) return finish(RolloutResult::done, {});
  return finish(RolloutResult::partial, describe_cut());
}

void RolloutMachine::add_cut(std::uint64_t count, const std::string& by) {
  cut_ += count;
  if (count > 0 && !by.empty()) died_with_.emplace_back(count, by);
}

std::string RolloutMachine::describe_cut() const {
  std::uint64_t by_deadline = cut_;
  std::vector<std::string> parts;
  for (const auto& [count, by] : died_with_) {
    by_deadline -= count;
    parts.push_back(fmt::format("{} cut: {}", connections(count), by));
  }
  if (by_deadline > 0) {
    parts.insert(parts.begin(),
                 fmt::format("{} cut while draining; see drain_timeout", connections(by_deadline)));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

RolloutEffects RolloutMachine::recorded(const std::string& problem) {
  if (state_ != State::recording) return {};
  std::string why = reason_;
  if (!problem.empty()) why += "; " + problem;
  if (cut_ > 0) why += "; " + describe_cut();
  if (!stuck_) return finish(RolloutResult::rolled_back, why);
  why += "; not every worker could be brought back to the old build: see appserverctl status";
  return finish(RolloutResult::partial, why);
}

bool RolloutMachine::has_new_code_in(const std::string& group) const {
  return std::ranges::any_of(done_, [&](const PlannedChange& each) {
    return each.group == group && has_new_code(each.change);
  });
}

RolloutEffects RolloutMachine::crash_looping(const std::string& group) {
  if (state_ != State::rolling || gives_up() || !has_new_code_in(group)) return {};
  reason_ = fmt::format("{}: it crash-loops since it was rolled", group);
  return {GiveUp{current_, reason_}};
}

RolloutEffects RolloutMachine::abort(const std::string& why) {
  if (state_ != State::preflight && state_ != State::entering) return {};
  return finish(RolloutResult::refused, why);
}

RolloutEffects RolloutMachine::stop(const std::string& why) {
  if (state_ == State::over) return {};
  return finish(RolloutResult::stopped, why);
}

}  // namespace appserver::supervisor

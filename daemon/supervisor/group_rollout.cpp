#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "supervisor/group_machine.hpp"

// The rollout's part of the group machine.
namespace appserver::supervisor {

using namespace effect;

Effects GroupMachine::roll(ReleaseId release, GroupPolicy policy, Replace replace, Time now) {
  Effects effects;
  for (SlotView& slot : slots_) {
    abandon(slot, "a rollout begins", effects);
    slot.replaced = false;
    slot.cut = 0;
    // The successor that was abandoned would have taken over from one that is gone.
    if (slot.current == 0 && !slot.emptied && !slot.next_try) slot.next_try = now;
  }
  const auto existing = static_cast<std::uint32_t>(slots_.size());
  Rollout rollout;
  rollout.target = release;
  rollout.before = slots_.empty() ? release : slots_.front().release;
  rollout.policy_before = policy_;
  rollout.canary_passed = policy.canary == 0 || replace == Replace::none || existing == 0;
  if (policy.deadline.count() > 0) rollout.deadline = now + policy.deadline;
  rollout_ = rollout;
  policy_ = policy;
  if (policy.count > existing) slots_.resize(policy.count);
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    if (index >= existing) slot.release = release;
    slot.pending = index < policy.count && (index >= existing || replace == Replace::all);
  }
  return finish(now, std::move(effects));
}

bool GroupMachine::past_return() const {
  return rollout_->phase == Phase::retiring || rollout_->phase == Phase::closing;
}

bool GroupMachine::can_abort() const { return rollout_ && !rollout_->reverting && !past_return(); }

bool GroupMachine::is_doomed(std::uint32_t index) const {
  return rollout_ && index >= policy_.count && !can_abort();
}

Effects GroupMachine::abort(const std::string& why, Time now) {
  Effects effects;
  if (can_abort()) rollout_failed(std::nullopt, why, now, effects);
  return finish(now, std::move(effects));
}

Effects GroupMachine::canary_judged(CanaryAction action, const std::string& why, Time now) {
  Effects effects;
  const bool asked =
      rollout_ && (rollout_->phase == Phase::judging || rollout_->phase == Phase::waiting);
  if (!asked) return effects;
  switch (action) {
    case CanaryAction::proceed:
      rollout_->canary_passed = true;
      rollout_->phase = Phase::stepping;
      break;
    case CanaryAction::roll_back:
      rollout_failed(std::nullopt, why, now, effects);
      break;
    case CanaryAction::wait:
      rollout_->phase = Phase::waiting;
      break;
  }
  return finish(now, std::move(effects));
}

// Ends a successor that is not open yet, without a verdict on it.
void GroupMachine::abandon(SlotView& slot, const std::string& why, Effects& effects) {
  if (slot.successor == 0) return;
  end_recycling(static_cast<std::uint32_t>(&slot - slots_.data()), false, why, 0, effects);
  const WorkerId abandoned = std::exchange(slot.successor, 0);
  workers_.at(abandoned).role = Role::retiring;
  kill(abandoned, why, effects);
}

void GroupMachine::candidate_failed(WorkerId id, const std::string& why, Time now,
                                    Effects& effects) {
  const std::uint32_t index = workers_.at(id).slot;
  SlotView& slot = slots_[index];
  workers_.at(id).role = Role::retiring;
  slot.successor = 0;
  if (rollout_) effects.push_back(Progress{Step::slot_failed, index, id, why, 0});
  if (!workers_.at(id).aborted) kill(id, "it failed to become ready", effects);
  if (rollout_ && rollout_->reverting) {
    // Not tried again: what the slot runs now is what it keeps.
    rollout_->stuck = rollout_->stuck || slot.current != 0;
    slot.release = rollout_->target;
    slot.pending = false;
  } else if (rollout_) {
    rollout_failed(index, why, now, effects);
  }
  if (slot.recycling) end_recycling(index, false, why, std::exchange(slot.cut, 0), effects);
  if (slot.current != 0 || stopping_ || is_doomed(index)) return;
  slot.next_try = now;
  slot.awaited = rollout_.has_value();
}

void GroupMachine::rollout_failed(std::optional<std::uint32_t> failed, const std::string& why,
                                  Time now, Effects& effects) {
  rollout_->reverting = true;
  rollout_->phase = Phase::stepping;
  rollout_->phase_over.reset();
  rollout_->canary_passed = true;
  rollout_->reason = failed ? fmt::format("slot {}: {}", *failed, why) : why;
  rollout_->target = rollout_->before;
  // How much memory there is has not changed.
  rollout_->policy_before.surge = policy_.surge;
  rollout_->policy_before.stop_first = policy_.stop_first;
  policy_ = rollout_->policy_before;
  effects.push_back(Progress{Step::reverting, failed.value_or(0), 0, rollout_->reason, 0});
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    abandon(slot, "the rollout was given up", effects);
    if (index >= policy_.count) {
      slot.pending = false;
      continue;
    }
    // Its worker may be one that an earlier, partial rollout left behind.
    const WorkerView* current = find(slot.current);
    slot.pending = (current == nullptr ? slot.release : current->release) != rollout_->target;
    // Nobody is left to take over from: the restart is the way back.
    if (current != nullptr || slot.next_try) continue;
    slot.release = rollout_->target;
    slot.pending = false;
    slot.awaited = true;
    if (slot.retiring == 0) slot.next_try = now;
  }
}

void GroupMachine::tick_rollout(Time now, Effects& effects) {
  if (!rollout_) return;
  if (can_abort() && rollout_->deadline && *rollout_->deadline <= now) {
    rollout_failed(
        std::nullopt,
        fmt::format("the rollout was not over within reload.deadline ({} s)",
                    std::chrono::duration_cast<std::chrono::seconds>(policy_.deadline).count()),
        now, effects);
    return;
  }
  if (rollout_->phase == Phase::holding && *rollout_->phase_over <= now) {
    rollout_->phase = Phase::judging;
    rollout_->phase_over.reset();
    effects.push_back(CanaryDue{});
  }
}

std::uint32_t GroupMachine::steps_in_progress() const {
  auto count = static_cast<std::uint32_t>(
      std::ranges::count_if(slots_, [this](const SlotView& s) { return step_in_progress(s); }));
  // A candidate that was told to end still takes memory until it is gone: it counts.
  for (const auto& [id, worker] : workers_) {
    const SlotView& slot = slots_[worker.slot];
    const bool is_ending = worker.killed || worker.aborted;
    if (is_ending && slot.retiring != id && slot.current != id) ++count;
  }
  return count;
}

void GroupMachine::start_step(std::uint32_t index, Time now, Effects& effects) {
  SlotView& slot = slots_[index];
  slot.next_try.reset();
  if (!slot.emptied) ++rollout_->started;
  if (!policy_.stop_first || slot.current == 0) {
    slot.emptied = false;
    slot.successor = spawn(index, rollout_->target, Role::successor, now, effects);
    return;
  }
  slot.emptied = true;
  retire_current(index, "the slot is to be replaced", State::left, now, effects);
}

void GroupMachine::retire_current(std::uint32_t index, const std::string& why, State state,
                                  Time now, Effects& effects) {
  const WorkerId old = std::exchange(slots_[index].current, 0);
  if (state == State::left && serves(old) && workers_.at(old).has_state)
    effects.push_back(LeaveState{old});
  if (old != 0) dismiss(old, serving_sibling(index), why, now, effects);
}

// False once there is nothing left to do or to wait for.
bool GroupMachine::start_steps(Time now, Effects& effects) {
  std::uint32_t in_progress = steps_in_progress();
  // These slots do not serve either.
  if (policy_.stop_first) {
    in_progress += static_cast<std::uint32_t>(
        std::ranges::count_if(slots_, [](const SlotView& slot) { return slot.awaited; }));
  }
  bool left = false;
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    left = left || slot.awaited;
    if (!slot.pending) continue;
    left = true;
    if (step_in_progress(slot) || in_progress >= policy_.surge) continue;
    const bool is_canary = slot.emptied || rollout_->started < policy_.canary;
    if (!rollout_->canary_passed && !is_canary) continue;
    start_step(index, now, effects);
    ++in_progress;
  }
  return left || in_progress > 0;
}

void GroupMachine::hold_canary(Time now, Effects& effects) {
  rollout_->phase = Phase::holding;
  rollout_->phase_over = now + policy_.hold;
  if (rollout_->deadline) *rollout_->deadline += policy_.hold;
  effects.push_back(CanaryHold{*rollout_->phase_over});
}

void GroupMachine::begin_retiring(Time now, Effects& effects) {
  rollout_->phase = Phase::retiring;
  if (slots_.size() <= policy_.count) return;
  if (policy_.count > 0) effects.push_back(Retire{policy_.count});
  for (std::uint32_t index = policy_.count; index < slots_.size(); ++index) {
    slots_[index].next_try.reset();
    slots_[index].awaited = false;
    retire_current(index, "the slot is taken away", State::dropped, now, effects);
  }
}

// Whether the slots over the count have neither workers nor, for all that can be done, connections.
bool GroupMachine::queues_are_empty(Time now) {
  if (std::ranges::any_of(workers_,
                          [this](const auto& each) { return each.second.slot >= policy_.count; }))
    return false;
  Rollout& rollout = *rollout_;
  const bool looked_after =
      std::ranges::all_of(slots_.begin() + policy_.count, slots_.end(),
                          [](const SlotView& slot) { return slot.lent_to != 0; });
  // Where nobody serves, a sibling may come up; but clients do not wait for ever either.
  if (!rollout.retire_limit)
    rollout.retire_limit = policy_.count == 0 ? now : now + policy_.start_timeout;
  if (!rollout.phase_over || rollout.looked_after != looked_after)
    rollout.phase_over = looked_after ? now + kQueueLinger : *rollout.retire_limit;
  rollout.looked_after = looked_after;
  return now >= *rollout.phase_over;
}

// A sibling that still has a queue when it is closed here would be given connections for it.
void GroupMachine::close_queues(Time now, Effects& effects) {
  rollout_->phase = Phase::closing;
  rollout_->phase_over = now;
  for (std::uint32_t index = policy_.count; index < slots_.size(); ++index) {
    if (slots_[index].lent_to == 0) continue;
    reclaim(index, effects);
    rollout_->phase_over = now + kQueueLinger;
  }
}

void GroupMachine::end_rollout(Effects& effects) {
  if (slots_.size() > policy_.count) {
    effects.push_back(Close{policy_.count});
    slots_.resize(policy_.count);
  }
  const Rollout over = *std::exchange(rollout_, std::nullopt);
  if (!over.reverting) {
    // Also of those that were left alone: what they run is the same.
    for (SlotView& slot : slots_) slot.release = over.target;
    for (auto& [id, worker] : workers_) {
      if (worker.release == over.before) worker.release = over.target;
    }
  }
  const Outcome outcome = !over.reverting ? Outcome::done
                          : over.stuck    ? Outcome::partial
                                          : Outcome::rolled_back;
  effects.push_back(RollDone{outcome, over.reason});
}

void GroupMachine::advance(Time now, Effects& effects) {
  if (!rollout_ || stopping_) return;
  if (rollout_->phase == Phase::stepping) {
    const bool left = start_steps(now, effects);
    const bool canary_is_up =
        steps_in_progress() == 0 && (rollout_->started >= policy_.canary || !left);
    if (!rollout_->canary_passed && canary_is_up) hold_canary(now, effects);
    if (left || rollout_->phase != Phase::stepping) return;
    begin_retiring(now, effects);
  }
  if (rollout_->phase == Phase::retiring) {
    lend(effects);
    if (slots_.size() <= policy_.count || queues_are_empty(now)) close_queues(now, effects);
  }
  if (rollout_->phase == Phase::closing && now >= *rollout_->phase_over) end_rollout(effects);
}

}  // namespace appserver::supervisor

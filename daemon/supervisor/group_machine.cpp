#include "supervisor/group_machine.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <utility>

namespace appserver::supervisor {

using namespace effect;

GroupMachine::GroupMachine(GroupPolicy policy, std::function<double()> chance)
    : policy_(policy), chance_(std::move(chance)), slots_(policy.count) {}

const WorkerView* GroupMachine::find(WorkerId worker) const {
  const auto found = workers_.find(worker);
  return found == workers_.end() ? nullptr : &found->second;
}

bool GroupMachine::serves(WorkerId id) const {
  const WorkerView* worker = find(id);
  return worker != nullptr && worker->gate == Gate::open && !worker->draining && !worker->killed;
}

std::uint32_t GroupMachine::ready_count() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(slots_, [this](const SlotView& slot) { return serves(slot.current); }));
}

Effects GroupMachine::start(ReleaseId release, Time now) {
  Effects effects;
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    slots_[slot].release = release;
    slots_[slot].current = spawn(slot, release, Role::current, now, effects);
  }
  return finish(now, std::move(effects));
}

Effects GroupMachine::roll(ReleaseId release, GroupPolicy policy, Time now) {
  policy.count = policy_.count;
  rollout_ = Rollout{release, slots_.front().release, policy_, false, false, {}};
  policy_ = policy;
  for (SlotView& slot : slots_) slot.pending = true;
  return finish(now, {});
}

Effects GroupMachine::stop(bool fast, Time now) {
  Effects effects;
  stopping_ = true;
  if (rollout_) {
    effects.push_back(RollDone{Outcome::stopped, "the daemon is stopping"});
    rollout_.reset();
  }
  for (SlotView& slot : slots_) slot.next_try.reset();
  for (auto& [id, worker] : workers_) {
    if (worker.killed) continue;
    if (worker.gate != Gate::open) {
      kill(id, "the group is stopping", effects);
    } else if (!worker.draining || fast) {
      drain(id, 0, fast ? milliseconds(0) : policy_.drain_timeout, now, effects);
    }
  }
  return finish(now, std::move(effects));
}

WorkerId GroupMachine::spawn(std::uint32_t slot, ReleaseId release, Role role, Time now,
                             Effects& effects) {
  const WorkerId id = ++last_id_;
  WorkerView worker;
  worker.slot = slot;
  worker.release = release;
  worker.role = role;
  worker.deadline = now + policy_.start_timeout;
  workers_.emplace(id, worker);
  effects.push_back(Spawn{id, slot, release});
  if (role == Role::successor) effects.push_back(Progress{Step::slot_starting, slot, id, {}, 0});
  return id;
}

Effects GroupMachine::worker_ready(WorkerId id, Time now) {
  Effects effects;
  const auto found = workers_.find(id);
  if (found == workers_.end() || found->second.gate != Gate::starting || found->second.killed)
    return effects;
  WorkerView& worker = found->second;
  if (worker.role != Role::successor) {
    open_gate(id, now, effects);
  } else if (policy_.probe) {
    worker.gate = Gate::probing;
    effects.push_back(Probe{id});
  } else {
    settle(id, now, effects);
  }
  return finish(now, std::move(effects));
}

Effects GroupMachine::worker_probed(WorkerId id, bool passed, const std::string& why, Time now) {
  Effects effects;
  const auto found = workers_.find(id);
  if (found == workers_.end() || found->second.gate != Gate::probing || found->second.killed)
    return effects;
  if (passed) {
    settle(id, now, effects);
  } else {
    candidate_failed(id, "probe failed: " + why, now, effects);
  }
  return finish(now, std::move(effects));
}

void GroupMachine::settle(WorkerId id, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  if (policy_.min_ready.count() == 0) {
    promote(id, now, effects);
    return;
  }
  worker.gate = Gate::settling;
  worker.deadline = now + policy_.min_ready;
}

void GroupMachine::open_gate(WorkerId id, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  worker.gate = Gate::open;
  worker.deadline.reset();
  slots_[worker.slot].policy.became_ready(now);
  effects.push_back(Serve{id});
}

void GroupMachine::promote(WorkerId id, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  SlotView& slot = slots_[worker.slot];
  const WorkerId old = std::exchange(slot.current, id);
  slot.successor = 0;
  slot.release = worker.release;
  slot.pending = false;
  slot.next_try.reset();
  slot.policy = RestartPolicy{};
  worker.role = Role::current;
  open_gate(id, now, effects);
  effects.push_back(Progress{Step::slot_ready, worker.slot, id, {}, 0});
  if (find(old) == nullptr) {
    effects.push_back(Progress{Step::slot_replaced, worker.slot, id, {}, 0});
    return;
  }
  workers_.at(old).role = Role::retiring;
  slot.retiring = old;
  if (workers_.at(old).gate == Gate::open) {
    drain(old, id, policy_.drain_timeout, now, effects);
    effects.push_back(Progress{Step::slot_draining, worker.slot, old, {}, 0});
  } else {
    kill(old, "its successor is ready", effects);
  }
}

void GroupMachine::drain(WorkerId id, WorkerId successor, milliseconds timeout, Time now,
                         Effects& effects) {
  WorkerView& worker = workers_.at(id);
  const Time deadline = now + timeout + kDrainGrace;
  // Told again to hurry, it never gets more time.
  if (!std::exchange(worker.draining, true) || deadline < worker.deadline)
    worker.deadline = deadline;
  effects.push_back(Drain{id, successor, timeout});
}

void GroupMachine::kill(WorkerId id, const std::string& why, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  worker.deadline.reset();
  if (std::exchange(worker.killed, true)) return;
  effects.push_back(Signal{id, SIGKILL, why});
}

Effects GroupMachine::worker_suspect(WorkerId id, const std::string& why, Time now) {
  Effects effects;
  const WorkerView* worker = find(id);
  if (worker == nullptr || worker->killed) return effects;
  if (worker->role == Role::successor) {
    candidate_failed(id, why, now, effects);
  } else {
    kill(id, why, effects);
  }
  return finish(now, std::move(effects));
}

Effects GroupMachine::worker_drained(WorkerId id, std::uint64_t cut, Time now) {
  const auto found = workers_.find(id);
  if (found != workers_.end()) found->second.cut = cut;
  return finish(now, {});
}

void GroupMachine::candidate_failed(WorkerId id, const std::string& why, Time now,
                                    Effects& effects) {
  const std::uint32_t index = workers_.at(id).slot;
  SlotView& slot = slots_[index];
  workers_.at(id).role = Role::retiring;
  slot.successor = 0;
  if (rollout_) effects.push_back(Progress{Step::slot_failed, index, id, why, 0});
  kill(id, "it failed to become ready", effects);
  if (slot.current == 0 && !stopping_) slot.next_try = now;
  if (!rollout_) return;
  if (!rollout_->reverting) {
    rollout_failed(index, why, now, effects);
    return;
  }
  rollout_->stuck = true;
  // Not tried again: what the slot runs now is what it keeps.
  slot.release = rollout_->target;
  slot.pending = false;
}

void GroupMachine::rollout_failed(std::uint32_t index, const std::string& why, Time now,
                                  Effects& effects) {
  rollout_->reverting = true;
  rollout_->reason = fmt::format("slot {}: {}", index, why);
  rollout_->target = rollout_->before;
  policy_ = rollout_->policy_before;
  for (SlotView& slot : slots_) {
    // Its worker may be one that an earlier, partial rollout left behind.
    const WorkerView* current = find(slot.current);
    slot.pending = (current == nullptr ? slot.release : current->release) != rollout_->target;
    if (slot.successor == 0) continue;
    const WorkerId abandoned = std::exchange(slot.successor, 0);
    workers_.at(abandoned).role = Role::retiring;
    kill(abandoned, "the rollout was given up", effects);
    if (slot.current == 0) slot.next_try = now;
  }
  effects.push_back(Progress{Step::reverting, index, 0, rollout_->reason, 0});
}

void GroupMachine::current_gone(std::uint32_t index, WorkerId id, const std::string& why, Time now,
                                Effects& effects) {
  SlotView& slot = slots_[index];
  slot.current = 0;
  if (stopping_) return;
  ++slot.restarts;
  const milliseconds delay = slot.policy.failed(now, chance_());
  if (rollout_ && !rollout_->reverting && !slot.pending) {
    // The new build does not hold: to go on would take the old workers that do.
    effects.push_back(Progress{Step::slot_failed, index, id, why, 0});
    rollout_failed(index, why, now, effects);
  }
  // A successor that is coming up takes the slot; if it fails, the restart is due then.
  if (slot.successor != 0) return;
  if (rollout_ && rollout_->reverting && slot.pending) {
    // No worker is left to take over from: the restart is the way back.
    slot.release = rollout_->target;
    slot.pending = false;
  }
  slot.next_try = now + delay;
  effects.push_back(Restarting{index, delay, slot.policy.in_crash_loop(now)});
}

Effects GroupMachine::worker_gone(WorkerId id, const std::string& why, Time now) {
  Effects effects;
  const auto found = workers_.find(id);
  if (found == workers_.end()) return effects;
  const WorkerView worker = found->second;
  SlotView& slot = slots_[worker.slot];
  if (slot.successor == id) {
    candidate_failed(id, why, now, effects);
    // It is gone already: there is nobody to kill.
    std::erase_if(effects, [id](const Effect& effect) {
      const auto* signal = std::get_if<Signal>(&effect);
      return signal != nullptr && signal->worker == id;
    });
  }
  workers_.erase(id);
  if (slot.retiring == id) {
    slot.retiring = 0;
    if (rollout_ && serves(slot.current)) {
      effects.push_back(Progress{Step::slot_replaced, worker.slot, slot.current, {}, worker.cut});
    }
  }
  for (SlotView& other : slots_) {
    if (other.lent_to == id) other.lent_to = 0;
  }
  if (slot.current == id) current_gone(worker.slot, id, why, now, effects);
  return finish(now, std::move(effects));
}

void GroupMachine::overdue(WorkerId id, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  if (worker.gate == Gate::settling) {
    promote(id, now, effects);
  } else if (worker.draining) {
    kill(id, "it did not end in time", effects);
  } else if (worker.role == Role::successor) {
    const char* what = worker.gate == Gate::probing ? "its probe was not answered" : "not ready";
    candidate_failed(
        id, fmt::format("{} within start_timeout ({} ms)", what, policy_.start_timeout.count()),
        now, effects);
  } else {
    kill(id, fmt::format("not ready within start_timeout ({} ms)", policy_.start_timeout.count()),
         effects);
  }
}

Effects GroupMachine::tick(Time now) {
  Effects effects;
  std::vector<WorkerId> due;
  for (const auto& [id, worker] : workers_) {
    if (worker.deadline && *worker.deadline <= now) due.push_back(id);
  }
  for (const WorkerId id : due) {
    // An earlier one may have ended this one's wait.
    const WorkerView* worker = find(id);
    if (worker != nullptr && worker->deadline && *worker->deadline <= now)
      overdue(id, now, effects);
  }
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    if (!slot.next_try || *slot.next_try > now) continue;
    slot.next_try.reset();
    slot.current = spawn(index, slot.release, Role::current, now, effects);
  }
  return finish(now, std::move(effects));
}

std::optional<Time> GroupMachine::next_deadline() const {
  std::optional<Time> next;
  const auto consider = [&next](std::optional<Time> time) {
    if (time && (!next || *time < *next)) next = time;
  };
  for (const auto& [id, worker] : workers_) consider(worker.deadline);
  for (const SlotView& slot : slots_) consider(slot.next_try);
  return next;
}

void GroupMachine::advance(Time now, Effects& effects) {
  if (!rollout_ || stopping_) return;
  std::uint32_t in_progress = static_cast<std::uint32_t>(
      std::ranges::count_if(slots_, [this](const SlotView& s) { return step_in_progress(s); }));
  // A killed candidate still takes memory until it is gone: it counts.
  for (const auto& [id, worker] : workers_) {
    if (worker.killed && slots_[worker.slot].retiring != id && slots_[worker.slot].current != id)
      ++in_progress;
  }
  bool needed = false;
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    if (!slot.pending) continue;
    needed = true;
    if (step_in_progress(slot) || in_progress >= policy_.surge) continue;
    slot.next_try.reset();
    slot.successor = spawn(index, rollout_->target, Role::successor, now, effects);
    ++in_progress;
  }
  if (needed || in_progress > 0) return;
  const Rollout over = *std::exchange(rollout_, std::nullopt);
  const Outcome outcome = !over.reverting ? Outcome::done
                          : over.stuck    ? Outcome::partial
                                          : Outcome::rolled_back;
  effects.push_back(RollDone{outcome, over.reason});
}

void GroupMachine::lend(Effects& effects) {
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    if (slot.lent_to != 0 && (serves(slot.current) || !serves(slot.lent_to) || stopping_)) {
      if (serves(slot.lent_to)) effects.push_back(Reclaim{index, slot.lent_to});
      slot.lent_to = 0;
    }
    if (stopping_ || slot.lent_to != 0 || serves(slot.current)) continue;
    // The next serving sibling in a circle, so that several dead slots do not all land on one.
    for (std::size_t step = 1; step < slots_.size() && slot.lent_to == 0; ++step) {
      const WorkerId sibling = slots_[(index + step) % slots_.size()].current;
      if (!serves(sibling)) continue;
      slot.lent_to = sibling;
      effects.push_back(Lend{index, sibling});
    }
  }
}

Effects GroupMachine::finish(Time now, Effects effects) {
  advance(now, effects);
  lend(effects);
  if (stopping_ && workers_.empty() && !std::exchange(stopped_, true)) effects.push_back(Stopped{});
  return effects;
}

}  // namespace appserver::supervisor

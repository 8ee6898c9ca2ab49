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
  return worker != nullptr && worker->gate == Gate::open && !worker->draining && !worker->killed &&
         !worker->stalled;
}

std::uint32_t GroupMachine::ready_count() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(slots_, [this](const SlotView& slot) { return serves(slot.current); }));
}

bool GroupMachine::all_ready() const {
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    if (!serves(slots_[index].current) && !is_doomed(index)) return false;
  }
  return true;
}

Effects GroupMachine::start(ReleaseId release, Time now) {
  Effects effects;
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    slots_[slot].release = release;
    slots_[slot].current = spawn(slot, release, Role::current, now, effects);
  }
  return finish(now, std::move(effects));
}

Effects GroupMachine::stop(bool fast, Time now) {
  Effects effects;
  stopping_ = true;
  if (rollout_) {
    effects.push_back(RollDone{Outcome::stopped, "the daemon is stopping"});
    rollout_.reset();
  }
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    slot.next_try.reset();
    const bool was_emptied = std::exchange(slot.emptied, false);
    end_recycling(index, slot.successor == 0 && !was_emptied, "the daemon is stopping", 0, effects);
  }
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
  WorkerId predecessor = 0;
  if (role == Role::successor && serves(slots_[slot].current) &&
      workers_.at(slots_[slot].current).has_state) {
    predecessor = slots_[slot].current;
    *worker.deadline += kStatePatience;
  }
  workers_.emplace(id, worker);
  effects.push_back(Spawn{id, slot, release, predecessor});
  if (role == Role::successor) effects.push_back(Progress{Step::slot_starting, slot, id, {}, 0});
  return id;
}

Effects GroupMachine::worker_started(WorkerId id, Time now) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return {};
  WorkerView& worker = found->second;
  if (worker.gate == Gate::starting && !worker.killed && !worker.aborted)
    worker.deadline = now + policy_.start_timeout;
  return finish(now, {});
}

Effects GroupMachine::worker_ready(WorkerId id, Time now, bool has_state) {
  Effects effects;
  const auto found = workers_.find(id);
  if (found == workers_.end() || found->second.gate != Gate::starting) return effects;
  WorkerView& worker = found->second;
  if (worker.killed || worker.aborted) return effects;
  worker.has_state = has_state;
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
  SlotView& slot = slots_[worker.slot];
  slot.policy.became_ready(now);
  effects.push_back(Serve{id});
  // The way back of this slot is over.
  if (std::exchange(slot.awaited, false) && slot.retiring == 0) {
    effects.push_back(
        Progress{Step::slot_replaced, worker.slot, id, {}, std::exchange(slot.cut, 0)});
  }
}

void GroupMachine::promote(WorkerId id, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  const std::uint32_t index = worker.slot;
  SlotView& slot = slots_[index];
  const WorkerId old = std::exchange(slot.current, id);
  slot.successor = 0;
  slot.release = worker.release;
  slot.pending = false;
  slot.next_try.reset();
  slot.replaced = rollout_.has_value();
  if (slot.replaced) slot.policy = RestartPolicy{};
  worker.role = Role::current;
  open_gate(id, now, effects);
  effects.push_back(Progress{Step::slot_ready, index, id, {}, 0});
  if (find(old) != nullptr) {
    dismiss(old, id, "its successor is ready", now, effects);
    return;
  }
  if (rollout_)
    effects.push_back(Progress{Step::slot_replaced, index, id, {}, std::exchange(slot.cut, 0)});
  end_recycling(index, true, {}, std::exchange(slot.cut, 0), effects);
}

// The current worker of a slot, or the one that was, goes.
void GroupMachine::dismiss(WorkerId id, WorkerId successor, const std::string& why, Time now,
                           Effects& effects) {
  WorkerView& worker = workers_.at(id);
  worker.role = Role::retiring;
  slots_[worker.slot].retiring = id;
  if (worker.killed || worker.aborted) return;
  if (worker.gate != Gate::open) {
    kill(id, why, effects);
    return;
  }
  drain(id, successor, policy_.drain_timeout, now, effects);
  effects.push_back(Progress{Step::slot_draining, worker.slot, id, {}, 0});
}

void GroupMachine::drain(WorkerId id, WorkerId successor, milliseconds timeout, Time now,
                         Effects& effects) {
  WorkerView& worker = workers_.at(id);
  const Time deadline = now + timeout + kDrainGrace;
  worker.draining = true;
  // Told again to hurry, or dying of SIGABRT, it never gets more time.
  if (!worker.deadline || deadline < *worker.deadline) worker.deadline = deadline;
  effects.push_back(Drain{id, successor, timeout});
}

void GroupMachine::kill(WorkerId id, const std::string& why, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  worker.deadline.reset();
  if (std::exchange(worker.killed, true)) return;
  effects.push_back(Signal{id, SIGKILL, why});
}

// Its crash handler says where it hangs. The verdict on it does not wait for that.
void GroupMachine::abort_late(WorkerId id, const std::string& why, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  worker.aborted = true;
  worker.deadline = now + kLateAbortGrace;
  effects.push_back(Signal{id, SIGABRT, why});
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

Effects GroupMachine::worker_stalled(WorkerId id, bool end, Time now) {
  Effects effects;
  const auto found = workers_.find(id);
  if (found == workers_.end() || found->second.gate != Gate::open || found->second.killed)
    return effects;
  WorkerView& worker = found->second;
  worker.stalled = true;
  if (end && !std::exchange(worker.aborted, true)) {
    const Time deadline = now + kAbortGrace;
    if (!worker.deadline || deadline < *worker.deadline) worker.deadline = deadline;
    effects.push_back(Signal{id, SIGABRT, "its event loop stands still"});
  }
  return finish(now, std::move(effects));
}

Effects GroupMachine::worker_moves(WorkerId id, Time now) {
  const auto found = workers_.find(id);
  if (found == workers_.end() || found->second.aborted) return {};
  found->second.stalled = false;
  return finish(now, {});
}

Effects GroupMachine::worker_drained(WorkerId id, std::uint64_t cut, Time now) {
  const auto found = workers_.find(id);
  if (found != workers_.end()) found->second.cut = cut;
  return finish(now, {});
}

void GroupMachine::current_gone(std::uint32_t index, const WorkerView& worker, WorkerId id,
                                const std::string& why, Time now, Effects& effects) {
  SlotView& slot = slots_[index];
  slot.current = 0;
  if (stopping_) return;
  ++slot.restarts;
  // Its end was under way: whoever was connected was to go to the successor.
  if (slot.successor != 0) slot.cut += worker.cut;
  const milliseconds delay = slot.policy.failed(now, chance_());
  if (rollout_ && std::exchange(slot.awaited, false)) rollout_->stuck = true;
  if (can_abort() && slot.replaced) {
    // The new build does not hold: to go on would take the old workers that do.
    effects.push_back(Progress{Step::slot_failed, index, id, why, 0});
    rollout_failed(index, why, now, effects);
  }
  // A slot that is being taken away gets no other worker; one whose successor is coming up has it.
  if (is_doomed(index) || slot.successor != 0) return;
  if (rollout_ && rollout_->reverting && slot.pending) {
    // No worker is left to take over from: the restart is the way back.
    slot.release = rollout_->target;
    slot.pending = false;
    slot.awaited = true;
  }
  slot.next_try = now + delay;
  effects.push_back(Restarting{index, delay, slot.policy.in_crash_loop(now)});
}

void GroupMachine::retiring_gone(std::uint32_t index, const WorkerView& worker, Time now,
                                 Effects& effects) {
  SlotView& slot = slots_[index];
  slot.retiring = 0;
  if (slot.recycling && slot.emptied) {
    refill(index, worker.cut, now, effects);
  } else if (slot.recycling) {
    end_recycling(index, true, {}, worker.cut, effects);
  } else if (rollout_ && past_return() && index >= policy_.count) {
    effects.push_back(Progress{Step::slot_removed, index, 0, {}, worker.cut});
  } else if (rollout_ && slot.emptied) {
    slot.cut = worker.cut;  // told when the slot has a worker again
    if (!slot.pending) slot.next_try = now;
    slot.emptied = slot.pending;
  } else if (rollout_) {
    effects.push_back(Progress{Step::slot_replaced, index, slot.current, {}, worker.cut});
  }
}

Effects GroupMachine::worker_gone(WorkerId id, const std::string& why, Time now) {
  Effects effects;
  const auto found = workers_.find(id);
  if (found == workers_.end()) return effects;
  const WorkerView worker = found->second;
  SlotView& slot = slots_[worker.slot];
  found->second.killed = true;  // there is nobody left to signal
  if (slot.successor == id) candidate_failed(id, why, now, effects);
  workers_.erase(id);
  if (slot.retiring == id) retiring_gone(worker.slot, worker, now, effects);
  for (SlotView& other : slots_) {
    if (other.lent_to == id) other.lent_to = 0;
  }
  if (slot.current == id) current_gone(worker.slot, worker, id, why, now, effects);
  return finish(now, std::move(effects));
}

void GroupMachine::overdue(WorkerId id, Time now, Effects& effects) {
  WorkerView& worker = workers_.at(id);
  if (worker.gate == Gate::settling) {
    promote(id, now, effects);
  } else if (worker.aborted) {
    kill(id, "it did not die of SIGABRT", effects);
  } else if (worker.draining && !stopping_) {
    // Its own deadline is for its connections: one that is here yet hangs.
    abort_late(id,
               fmt::format("it has not ended {} s after drain_timeout", kDrainGrace.count() / 1000),
               now, effects);
  } else if (worker.draining) {
    kill(id, "it did not end in time", effects);
  } else {
    const bool starting = worker.gate == Gate::starting;
    const std::string why = fmt::format("{} within start_timeout ({} ms)",
                                        starting ? "not ready" : "its probe was not answered",
                                        policy_.start_timeout.count());
    if (starting) abort_late(id, why, now, effects);
    if (worker.role == Role::successor) candidate_failed(id, why, now, effects);
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
  tick_rollout(now, effects);
  return finish(now, std::move(effects));
}

std::optional<Time> GroupMachine::next_deadline() const {
  std::optional<Time> next;
  const auto consider = [&next](std::optional<Time> time) {
    if (time && (!next || *time < *next)) next = time;
  };
  for (const auto& [id, worker] : workers_) consider(worker.deadline);
  for (const SlotView& slot : slots_) consider(slot.next_try);
  if (!rollout_) return next;
  consider(rollout_->phase_over);
  if (can_abort()) consider(rollout_->deadline);
  return next;
}

WorkerId GroupMachine::serving_sibling(std::uint32_t index) const {
  const bool only_those_that_stay = rollout_ && past_return();
  // The next one in a circle, so that several dead slots do not all land on one.
  for (std::size_t step = 1; step < slots_.size(); ++step) {
    const std::size_t other = (index + step) % slots_.size();
    if (only_those_that_stay && other >= policy_.count) continue;
    if (serves(slots_[other].current)) return slots_[other].current;
  }
  return 0;
}

void GroupMachine::reclaim(std::uint32_t index, Effects& effects) {
  const WorkerId holder = std::exchange(slots_[index].lent_to, 0);
  const WorkerView* worker = find(holder);
  // One that drains has let go of everything; one that stands still does so when it moves again.
  if (worker != nullptr && !worker->draining && !worker->killed)
    effects.push_back(Reclaim{index, holder});
}

void GroupMachine::lend(Effects& effects) {
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    SlotView& slot = slots_[index];
    if (slot.lent_to != 0 && (serves(slot.current) || !serves(slot.lent_to) || stopping_))
      reclaim(index, effects);
    const bool closing = rollout_ && rollout_->phase == Phase::closing && index >= policy_.count;
    if (stopping_ || closing || slot.lent_to != 0 || serves(slot.current)) continue;
    slot.lent_to = serving_sibling(index);
    if (slot.lent_to != 0) effects.push_back(Lend{index, slot.lent_to});
  }
}

Effects GroupMachine::finish(Time now, Effects effects) {
  advance(now, effects);
  lend(effects);
  if (stopping_ && workers_.empty() && !std::exchange(stopped_, true)) effects.push_back(Stopped{});
  return effects;
}

}  // namespace appserver::supervisor

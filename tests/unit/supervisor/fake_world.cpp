#include "fake_world.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "machine_driver.hpp"

namespace appserver::supervisor {

using namespace std::chrono_literals;

namespace {

constexpr milliseconds kKillTime{500};

GroupPolicy without_slots(GroupPolicy policy, bool really) {
  if (really) policy.count = 0;
  return policy;
}

}  // namespace

FakeWorld::FakeWorld(GroupPolicy policy, bool by_roll, std::uint64_t seed)
    : policy_(without_slots(policy, by_roll)),
      random_(seed),
      machine_(policy_, [this] { return random(1000) / 1000.0; }) {
  for (std::uint32_t slot = 0; slot < policy_.count; ++slot) down_.insert(slot);
}

void FakeWorld::note(const std::string& line) const {
  if (tracing_)
    fmt::print("{:>8} {}\n", std::chrono::duration_cast<milliseconds>(now_ - Time(1h)).count(),
               line);
}

void FakeWorld::plan(WorkerId id, Will will, milliseconds at_most) {
  Worker& worker = workers_.at(id);
  worker.will = will;
  worker.due = now_ + milliseconds(random(static_cast<std::uint32_t>(at_most.count()) + 1));
}

void FakeWorld::let_go(WorkerId holder) {
  std::erase_if(lent_, [&](const auto& entry) {
    if (entry.second != holder) return false;
    const auto queue = queues_.find(entry.first);
    if (queue != queues_.end()) queue->second.released = now_;
    return true;
  });
}

void FakeWorld::carry_out(const effect::Spawn& spawn) {
  expect(!machine_.stopping(), "a worker is spawned by a group that stops");
  const auto [worker, is_new] = workers_.try_emplace(spawn.worker);
  expect(is_new, "a worker's number is used twice");
  worker->second.slot = spawn.slot;
  worker->second.release = spawn.release;
  expect(spawn.release == in_force_ ||
             (roll_ && (spawn.release == roll_->target || spawn.release == roll_->before)),
         "a worker of a release that nobody asked for");
  if (spawn.predecessor == 0) return plan_start(spawn.worker);
  const auto predecessor = workers_.find(spawn.predecessor);
  expect(is_serving(spawn.predecessor) && predecessor->second.has_state &&
             predecessor->second.slot == spawn.slot,
         "state is asked of a worker that has none, does not serve, or is of another slot");
  ++states_;
  plan(spawn.worker, Will::start, GroupMachine::kStatePatience);
}

void FakeWorld::plan_start(WorkerId id) {
  const ReleaseId release = workers_.at(id).release;
  if (chance(10) || (is_bad(release) && random(3) == 0)) {
    plan(id, Will::crash, 2s);
  } else if (!chance(8)) {
    plan(id, Will::become_ready, policy_.start_timeout / 2);
  }
}

void FakeWorld::carry_out(const effect::LeaveState& leave) {
  expect(is_serving(leave.worker) && workers_.at(leave.worker).has_state,
         "a worker that has no state, or does not serve, is to leave it");
  if (!workers_.contains(leave.worker)) return;
  expect(!std::exchange(workers_.at(leave.worker).leaves_state, true),
         "a worker is told twice to leave its state");
  ++states_;
}

void FakeWorld::carry_out(const effect::Probe& probe) {
  if (chance(10)) {
    plan(probe.worker, Will::fail_probe, 1s);
  } else if (!chance(10)) {
    plan(probe.worker, Will::pass_probe, 1s);
  }
}

void FakeWorld::carry_out(const effect::Serve& serve) {
  expect(++served_[serve.worker] == 1, "a worker is told twice to serve");
  expect(!machine_.stopping(), "a group that stops lets a worker serve");
  Worker& worker = workers_.at(serve.worker);
  expect(!worker.killed, "a worker that was killed is told to serve");
  worker.serves = true;
  down_.erase(worker.slot);
  if (is_bad(worker.release)) {
    plan(serve.worker, Will::crash, 1s);
  } else if (chance(15)) {
    plan(serve.worker, Will::crash, 90s);
  }
}

void FakeWorld::carry_out(const effect::Drain& drain) {
  const bool known = workers_.contains(drain.worker) && workers_.at(drain.worker).serves;
  expect(known, "a worker that does not serve is told to drain");
  if (!known) return;
  Worker& worker = workers_.at(drain.worker);
  if (!machine_.stopping()) {
    expect(!worker.draining, "a worker is told twice to drain");
    expect(!worker.aborted, "a worker that dies of SIGABRT is told to drain");
    worker.draining = true;
    const auto successor = workers_.find(drain.successor);
    // A group that was only being added goes whole, and nothing is retired.
    const bool to_sibling = queues_.contains(worker.slot) || recycling_ == worker.slot ||
                            (roll_ && (roll_->policy.stop_first || policy_.count == 0));
    if (drain.successor == 0) {
      // With no slots left to go to, siblings that drain in a moment are no help.
      expect(to_sibling, "a worker drains to nobody though it has a successor");
    } else {
      expect(is_serving(drain.successor), "a worker drains to one that does not serve");
      expect(successor != workers_.end() && (to_sibling || successor->second.slot == worker.slot),
             "a worker drains to one of another slot");
      expect(!queues_.contains(successor->second.slot), "a worker drains to a slot that goes");
    }
  }
  worker.draining = true;
  worker.drained_by = now_ + drain.timeout + GroupMachine::kDrainGrace;
  let_go(drain.worker);
  plan(drain.worker, chance(15) ? Will::nothing : Will::end, drain.timeout);
}

void FakeWorld::carry_out(const effect::Signal& signal) {
  const bool known = workers_.contains(signal.worker);
  expect(known, "a worker that is gone is signalled");
  expect(!is_serving(signal.worker), "a serving worker is killed");
  if (!known) return;
  Worker& worker = workers_.at(signal.worker);
  expect(!worker.killed, "a worker is killed twice");
  if (signal.signal == SIGABRT) {
    const bool late = worker.draining && now_ >= worker.drained_by;
    expect((worker.stalled || !worker.serves || late) && !worker.aborted,
           "SIGABRT to a worker that turns and is in time, or a second time");
    worker.aborted = true;
    worker.moves_at.reset();
    plan(signal.worker, random(3) == 0 ? Will::nothing : Will::end, kKillTime);
    return;
  }
  worker.killed = true;
  let_go(signal.worker);
  plan(signal.worker, Will::end, kKillTime);
}

void FakeWorld::carry_out(const effect::Lend& lend) {
  expect(is_serving(lend.to), "a slot is lent to a worker that does not serve");
  expect(workers_.at(lend.to).slot != lend.slot, "a slot is lent to its own worker");
  expect(lent_.emplace(lend.slot, lend.to).second, "a slot is lent twice");
  const auto queue = queues_.find(lend.slot);
  if (queue == queues_.end()) return;
  if (!queue->second.held_since || queue->second.released != now_) queue->second.held_since = now_;
  queue->second.released.reset();
}

void FakeWorld::carry_out(const effect::Reclaim& reclaim) {
  const auto found = lent_.find(reclaim.slot);
  expect(found != lent_.end() && found->second == reclaim.from,
         "a slot is reclaimed from a worker that does not have it");
  lent_.erase(reclaim.slot);
  const auto queue = queues_.find(reclaim.slot);
  if (queue != queues_.end()) queue->second.released = now_;
}

void FakeWorld::carry_out(const effect::Restarting& restarting) {
  expect(restarting.delay <= RestartPolicy::kCap, "a restart waits longer than the cap");
  expect(!queues_.contains(restarting.slot) &&
             !(roll_ && roll_->reverting && restarting.slot >= policy_.count),
         "a slot that goes gets another worker");
}

void FakeWorld::carry_out(const effect::Progress& progress) {
  if (progress.step != Step::reverting) return;
  expect(roll_ && !roll_->reverting && queues_.empty(), "a rollout goes back that cannot");
  if (roll_) roll_->reverting = true;
}

void FakeWorld::carry_out(const effect::CanaryHold& hold) {
  expect(roll_ && roll_->policy.canary > 0, "a canary is held that nobody asked for");
  expect(hold.until == now_ + roll_->policy.hold, "a canary is held for another time");
  expect(!held_until_, "a canary is held twice");
  held_until_ = hold.until;
  std::uint32_t replaced = 0;
  for (const SlotView& slot : machine_.slots()) replaced += slot.replaced ? 1 : 0;
  expect(replaced <= roll_->policy.canary, "more slots than the canary's are replaced");
}

void FakeWorld::carry_out(const effect::CanaryDue&) {
  expect(held_until_ && *held_until_ <= now_, "a canary is judged before its time");
  judge_at_ = now_;
}

void FakeWorld::judge() {
  judge_at_.reset();
  const CanaryAction action = machine_.canary_waits() || random(2) == 0 ? CanaryAction::proceed
                              : random(2) == 0                          ? CanaryAction::roll_back
                                                                        : CanaryAction::wait;
  if (action == CanaryAction::wait) judge_at_ = now_ + milliseconds(random(60'000));
  note(fmt::format("judge {}", static_cast<int>(action)));
  apply(machine_.canary_judged(action, "canary", now_));
}

void FakeWorld::carry_out(const effect::Retire& retire) {
  expect(roll_.has_value() && retire.slots > 0, "slots are retired without a rollout");
  expect(queues_.empty(), "slots are retired twice");
  nobody_served_ = false;
  retired_at_ = now_;
  const auto size = static_cast<std::uint32_t>(machine_.slots().size());
  for (std::uint32_t slot = retire.slots; slot < size; ++slot) {
    if (lent_.contains(slot)) queues_[slot].held_since = now_;
    queues_[slot];
  }
}

void FakeWorld::carry_out(const effect::Close& close) {
  ++closed_;
  const bool gave_up =
      nobody_served_ && (policy_.count == 0 || now_ - retired_at_ >= policy_.start_timeout);
  for (const auto& [slot, queue] : queues_) {
    expect(slot >= close.slots, "a slot that was retired is not closed");
    const bool emptied = queue.held_since && queue.released &&
                         *queue.released - *queue.held_since >= GroupMachine::kQueueLinger;
    expect(emptied || gave_up, "a queue is closed that nobody has emptied");
    const bool let_go = queue.released && now_ - *queue.released >= GroupMachine::kQueueLinger;
    expect(let_go || nobody_served_, "a queue is closed that somebody may still hold");
  }
  for (const auto& [slot, holder] : lent_)
    expect(slot < close.slots, "a queue is closed that a sibling holds");
  for (const auto& [id, worker] : workers_)
    expect(worker.slot < close.slots, "a slot is closed that has a worker");
  queues_.clear();
  std::erase_if(down_, [&](std::uint32_t slot) { return slot >= close.slots; });
}

void FakeWorld::carry_out(const effect::Recycled& recycled) {
  expect(recycling_ == recycled.slot, "a recycling ends that did not run");
  recycling_.reset();
  if (recycled.replaced) ++recycled_;
}

void FakeWorld::carry_out(const effect::Stopped&) {
  expect(!stopped_, "a group stops twice");
  expect(workers_.empty(), "a group has stopped though a worker is left");
  stopped_ = true;
}

void FakeWorld::apply(const Effects& effects) {
  ++steps_;
  for (const Effect& effect : effects) {
    note("  " + to_text(effect));
    std::visit([this](const auto& one) { carry_out(one); }, effect);
  }
  check_state();
}

void FakeWorld::act(WorkerId id) {
  note(fmt::format("w{} will {}", id, static_cast<int>(workers_.at(id).will)));
  switch (std::exchange(workers_.at(id).will, Will::nothing)) {
    case Will::start:
      plan_start(id);
      return apply(machine_.worker_started(id, now_));
    case Will::become_ready:
      workers_.at(id).has_state = random(2) == 0;
      return apply(machine_.worker_ready(id, now_, workers_.at(id).has_state));
    case Will::pass_probe:
      return apply(machine_.worker_probed(id, true, {}, now_));
    case Will::fail_probe:
      return apply(machine_.worker_probed(id, false, "503", now_));
    case Will::crash:
      return end(id, "SIGSEGV");
    case Will::end:
      // What it said just before it was killed may still be under way.
      if (random(2) == 0) apply(machine_.worker_ready(id, now_));
      apply(machine_.worker_drained(id, 0, now_));
      return end(id, "exit 0");
    case Will::nothing:
      return;
  }
}

void FakeWorld::end(WorkerId id, const std::string& why) {
  const Worker& worker = workers_.at(id);
  const auto& slots = machine_.slots();
  if (worker.slot < slots.size() && slots[worker.slot].current == id) {
    down_.insert(worker.slot);
    if (machine_.can_abort() && slots[worker.slot].replaced) roll_->must_fail = true;
  }
  workers_.erase(id);
  let_go(id);
  apply(machine_.worker_gone(id, why, now_));
}

std::optional<Time> FakeWorld::next_event(WorkerId& who) const {
  std::optional<Time> next = judge_at_;
  who = 0;
  for (const auto& [id, worker] : workers_) {
    // One that stands still does nothing but die.
    const bool frozen = worker.stalled && !worker.aborted && !worker.killed;
    const std::optional<Time> at = frozen                         ? worker.moves_at
                                   : worker.will == Will::nothing ? std::nullopt
                                                                  : std::optional(worker.due);
    if (!at || (next && *next <= *at)) continue;
    next = at;
    who = id;
  }
  return next;
}

void FakeWorld::pass(milliseconds time) {
  constexpr int kMostTicksAtOnce = 20;
  const Time until = now_ + time;
  int ticks = 0;
  while (broken_.empty()) {
    WorkerId who = 0;
    const auto event = next_event(who);
    const Time at = event ? std::max(*event, now_) : until;
    const auto deadline = machine_.next_deadline();
    if (deadline && *deadline <= std::min(at, until)) {
      expect(*deadline >= now_, "a deadline lies in the past");
      ticks = *deadline == now_ ? ticks + 1 : 0;
      expect(ticks < kMostTicksAtOnce, "a deadline that was served is still there");
      now_ = std::max(now_, *deadline);
      note("tick");
      apply(machine_.tick(now_));
      continue;
    }
    if (!event || at > until) {
      now_ = until;
      return;
    }
    if (at > now_) ticks = 0;
    now_ = at;
    if (who == 0) {
      judge();
    } else if (Worker& worker = workers_.at(who); worker.stalled && worker.moves_at == at) {
      worker.stalled = false;
      worker.moves_at.reset();
      worker.due = std::max(worker.due, now_);
      note(fmt::format("w{} moves", who));
      if (is_serving(who)) down_.erase(worker.slot);
      apply(machine_.worker_moves(who, now_));
    } else {
      act(who);
    }
  }
}

}  // namespace appserver::supervisor

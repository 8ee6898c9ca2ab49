#include "fake_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "machine_driver.hpp"

namespace appserver::supervisor {

using namespace std::chrono_literals;

namespace {

constexpr milliseconds kKillTime{500};

}  // namespace

FakeWorld::FakeWorld(GroupPolicy policy, std::uint64_t seed)
    : policy_(policy), random_(seed), machine_(policy, [this] { return random(1000) / 1000.0; }) {}

milliseconds FakeWorld::slot_time() const {
  return policy_.start_timeout + policy_.min_ready + policy_.drain_timeout +
         GroupMachine::kDrainGrace + 2 * kKillTime;
}

void FakeWorld::expect(bool kept, const std::string& promise) {
  if (!kept && broken_.empty()) broken_ = promise;
}

bool FakeWorld::is_serving(WorkerId id) const {
  const auto found = workers_.find(id);
  return found != workers_.end() && found->second.serves && !found->second.draining;
}

bool FakeWorld::all_serve() const {
  return std::ranges::all_of(machine_.slots(),
                             [this](const SlotView& slot) { return is_serving(slot.current); });
}

void FakeWorld::start() { apply(machine_.start(1, now_)); }

void FakeWorld::roll() {
  if (machine_.rolling() || machine_.stopping()) return;
  // Sometimes a restart: the release that runs.
  if (random(8) != 0) ++last_release_;
  const ReleaseId target = random(8) == 0 ? in_force_ : last_release_;
  roll_ = Roll{target, in_force_, now_ + 2 * policy_.count * slot_time()};
  apply(machine_.roll(target, policy_, now_));
}

void FakeWorld::crash_one() {
  if (workers_.empty()) return;
  auto victim = workers_.begin();
  std::advance(victim, random(static_cast<std::uint32_t>(workers_.size())));
  end(victim->first, "SIGSEGV");
}

void FakeWorld::stop(bool fast) {
  if (!stop_latest_)
    stop_latest_ = now_ + policy_.drain_timeout + GroupMachine::kDrainGrace + kKillTime;
  const auto effects = machine_.stop(fast, now_);
  apply(effects);
}

void FakeWorld::plan(WorkerId id, Will will, milliseconds at_most) {
  Worker& worker = workers_.at(id);
  worker.will = will;
  worker.due = now_ + milliseconds(random(static_cast<std::uint32_t>(at_most.count()) + 1));
}

void FakeWorld::carry_out(const effect::Spawn& spawn) {
  expect(!machine_.stopping(), "a worker is spawned by a group that stops");
  expect(workers_.emplace(spawn.worker, Worker{spawn.slot, spawn.release}).second,
         "a worker's number is used twice");
  if (chance(10)) {
    plan(spawn.worker, Will::crash, 2s);
  } else if (!chance(10)) {
    plan(spawn.worker, Will::become_ready, policy_.start_timeout / 2);
  }
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
  expect(!workers_.at(serve.worker).killed, "a worker that was killed is told to serve");
  workers_.at(serve.worker).serves = true;
  if (chance(15)) plan(serve.worker, Will::crash, 90s);
}

void FakeWorld::carry_out(const effect::Drain& drain) {
  const bool known = workers_.contains(drain.worker) && workers_.at(drain.worker).serves;
  expect(known, "a worker that does not serve is told to drain");
  if (!known) return;
  Worker& worker = workers_.at(drain.worker);
  if (!machine_.stopping()) {
    expect(!worker.draining, "a worker is told twice to drain");
    expect(is_serving(drain.successor) && workers_.at(drain.successor).slot == worker.slot,
           "a worker drains to one that does not serve its slot");
  }
  worker.draining = true;
  std::erase_if(lent_, [&](const auto& entry) { return entry.second == drain.worker; });
  plan(drain.worker, chance(15) ? Will::nothing : Will::end, drain.timeout);
}

void FakeWorld::carry_out(const effect::Signal& signal) {
  const bool known = workers_.contains(signal.worker);
  expect(known, "a worker that is gone is signalled");
  expect(!is_serving(signal.worker), "a serving worker is killed");
  if (!known) return;
  workers_.at(signal.worker).killed = true;
  plan(signal.worker, Will::end, kKillTime);
}

void FakeWorld::carry_out(const effect::Lend& lend) {
  expect(is_serving(lend.to), "a slot is lent to a worker that does not serve");
  expect(lent_.emplace(lend.slot, lend.to).second, "a slot is lent twice");
}

void FakeWorld::carry_out(const effect::Reclaim& reclaim) {
  const auto found = lent_.find(reclaim.slot);
  expect(found != lent_.end() && found->second == reclaim.from,
         "a slot is reclaimed from a worker that does not have it");
  lent_.erase(reclaim.slot);
}

void FakeWorld::carry_out(const effect::Restarting& restarting) {
  expect(restarting.delay <= RestartPolicy::kCap, "a restart waits longer than the cap");
}

void FakeWorld::carry_out(const effect::RollDone& done) {
  expect(roll_.has_value(), "a rollout ends that did not run");
  if (!roll_) return;
  ++ended_.at(static_cast<std::size_t>(done.outcome));
  const Roll roll = *std::exchange(roll_, std::nullopt);
  expect((done.outcome == Outcome::stopped) == machine_.stopping(), "only a stop ends as stopped");
  if (machine_.stopping()) return;
  in_force_ = done.outcome == Outcome::done ? roll.target : roll.before;
  for (const SlotView& slot : machine_.slots()) {
    expect(slot.release == in_force_, "a slot is left on another release than the outcome says");
    expect(slot.successor == 0 && slot.retiring == 0, "a rollout ends while a slot is in a step");
    expect(done.outcome != Outcome::done || is_serving(slot.current),
           "a rollout is done though a slot does not serve");
    const bool other = is_serving(slot.current) && workers_.at(slot.current).release != in_force_;
    expect(!other || done.outcome == Outcome::partial, "a worker of another release is left");
  }
}

void FakeWorld::carry_out(const effect::Stopped&) {
  expect(!stopped_, "a group stops twice");
  expect(workers_.empty(), "a group has stopped though a worker is left");
  stopped_ = true;
}

void FakeWorld::apply(const Effects& effects) {
  ++steps_;
  for (const Effect& effect : effects) {
    std::visit([this](const auto& one) { carry_out(one); }, effect);
  }
  check_state();
}

void FakeWorld::check_state() {
  expect(workers_.size() <= policy_.count + policy_.surge, "more workers than count and surge");
  expect(!roll_ || now_ <= roll_->latest, "a rollout does not end");
  expect(roll_.has_value() == machine_.rolling(), "a rollout is over and nobody was told");
  expect(!stop_latest_ || stopped_ || now_ <= *stop_latest_, "a stop does not end");
  expect(workers_.size() == machine_.workers().size(), "the machine miscounts its workers");
  const bool any = std::ranges::any_of(
      machine_.slots(), [this](const SlotView& slot) { return is_serving(slot.current); });
  for (std::uint32_t index = 0; index < policy_.count; ++index) {
    const SlotView& slot = machine_.slots()[index];
    const auto lent = lent_.find(index);
    const WorkerId holder = lent == lent_.end() ? 0 : lent->second;
    expect(holder == slot.lent_to, "the machine is wrong about who has a slot");
    expect(holder == 0 || is_serving(holder), "a slot is with a worker that does not serve");
    expect(holder == 0 || !is_serving(slot.current), "a slot with a worker is still lent");
    expect(!any || holder != 0 || is_serving(slot.current), "nobody accepts for a slot");
  }
}

void FakeWorld::act(WorkerId id) {
  switch (std::exchange(workers_.at(id).will, Will::nothing)) {
    case Will::become_ready:
      return apply(machine_.worker_ready(id, now_));
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
  workers_.erase(id);
  std::erase_if(lent_, [id](const auto& entry) { return entry.second == id; });
  apply(machine_.worker_gone(id, why, now_));
}

void FakeWorld::pass(milliseconds time) {
  const Time until = now_ + time;
  while (broken_.empty()) {
    WorkerId next = 0;
    Time at = until;
    for (const auto& [id, worker] : workers_) {
      if (worker.will == Will::nothing || worker.due > at) continue;
      next = id;
      at = worker.due;
    }
    const auto deadline = machine_.next_deadline();
    if (deadline && *deadline <= at) {
      expect(*deadline >= now_, "a deadline lies in the past");
      now_ = std::max(now_, *deadline);
      apply(machine_.tick(now_));
      const auto later = machine_.next_deadline();
      expect(!later || *later > now_, "a deadline that was served is still there");
    } else if (next != 0) {
      now_ = at;
      act(next);
    } else {
      now_ = until;
      return;
    }
  }
}

}  // namespace appserver::supervisor

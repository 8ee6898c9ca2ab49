#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fake_world.hpp"

// What is asked of the group, and what it must keep to.
namespace appserver::supervisor {

using namespace std::chrono_literals;

namespace {

constexpr milliseconds kKillTime{500};
// Until somebody decides on a canary.
constexpr milliseconds kPatience{60'000};

}  // namespace

milliseconds FakeWorld::slot_time() const {
  return policy_.start_timeout + policy_.min_ready + policy_.drain_timeout +
         GroupMachine::kDrainGrace + 2 * GroupMachine::kLateAbortGrace +
         GroupMachine::kStatePatience + 2 * kKillTime + RestartPolicy::kCap;
}

void FakeWorld::expect(bool kept, const std::string& promise) {
  if (kept || !broken_.empty()) return;
  broken_ = promise;
  note("BROKEN: " + promise);
}

bool FakeWorld::is_serving(WorkerId id) const {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return false;
  const Worker& worker = found->second;
  return worker.serves && !worker.draining && !worker.killed && !worker.doubted && !worker.stalled;
}

bool FakeWorld::any_serves() const {
  return std::ranges::any_of(machine_.slots(),
                             [this](const SlotView& slot) { return is_serving(slot.current); });
}

bool FakeWorld::is_as_promised() const {
  if (machine_.slots().size() != policy_.count) return false;
  return std::ranges::all_of(machine_.slots(), [this](const SlotView& slot) {
    return is_serving(slot.current) && slot.release == in_force_ &&
           (left_over_ || workers_.at(slot.current).release == in_force_);
  });
}

void FakeWorld::start() {
  if (policy_.count == 0) return roll();
  apply(machine_.start(1, now_));
}

void FakeWorld::order(ReleaseId target, const GroupPolicy& policy, Replace replace) {
  Roll roll;
  roll.target = target;
  roll.before = policy_.count == 0 ? target : in_force_;
  roll.policy = policy;
  roll.replace = replace;
  const std::uint32_t slots = std::max(policy.count, policy_.count);
  roll.latest = now_ + 2 * (slots + 1) * slot_time() + policy.hold + kPatience +
                2 * GroupMachine::kQueueLinger;
  roll_ = roll;
  held_until_.reset();
  judge_at_.reset();
  for (std::uint32_t slot = policy_.count; slot < policy.count; ++slot) down_.insert(slot);
  note(fmt::format("roll r{} {} -> {} slots, surge {}{}{}, canary {}", target, policy_.count,
                   policy.count, policy.surge, policy.stop_first ? ", stop-first" : "",
                   replace == Replace::none ? ", scaling" : "", policy.canary));
  apply(machine_.roll(target, policy, replace, now_));
}

void FakeWorld::roll() {
  if (machine_.rolling() || machine_.stopping()) return;
  ++last_release_;
  if (random(6) == 0) bad_.insert(last_release_);
  // Sometimes a restart: the release that runs.
  const ReleaseId target = random(8) == 0 ? in_force_ : last_release_;
  GroupPolicy policy = policy_;
  if (random(3) == 0 || policy.count == 0) policy.count = 1 + random(5);
  policy.surge = 1 + random(3);
  policy.stop_first = random(4) == 0;
  policy.canary = random(3) == 0 ? 1 + random(2) : 0;
  policy.hold = milliseconds(random(20'000));
  policy.deadline = random(4) == 0 ? milliseconds(10'000 + random(100'000)) : 0ms;
  order(target, policy, Replace::all);
}

void FakeWorld::scale() {
  if (machine_.rolling() || machine_.stopping() || policy_.count == 0) return;
  GroupPolicy policy = policy_;
  policy.count = 1 + random(5);
  policy.canary = random(2);
  policy.deadline = random(6) == 0 ? 10s : 0s;
  order(random(4) == 0 ? in_force_ : ++last_release_, policy, Replace::none);
}

void FakeWorld::abort() {
  note("abort");
  const bool could = machine_.can_abort();
  apply(machine_.abort("somebody", now_));
  expect(!could || !machine_.can_abort(), "an abort can be repeated");
}

WorkerId FakeWorld::random_worker(bool only_open) {
  std::vector<WorkerId> some;
  for (const auto& [id, worker] : workers_) {
    if (!only_open || worker.serves) some.push_back(id);
  }
  return some.empty() ? 0 : some[random(static_cast<std::uint32_t>(some.size()))];
}

void FakeWorld::recycle_one() {
  const WorkerId worker = random_worker(true);
  if (worker == 0) return;
  const bool can = machine_.can_recycle(worker);
  const bool stop_first = random(3) == 0;
  if (can) recycling_ = workers_.at(worker).slot;
  if (can && stop_first) down_.insert(*recycling_);
  note(fmt::format("recycle w{}{}", worker, stop_first ? ", stop-first" : ""));
  apply(machine_.recycle(worker, stop_first, now_));
  expect(can == recycling_.has_value() || !can, "a recycling did not begin");
}

void FakeWorld::stall_one() {
  const WorkerId id = random_worker(true);
  if (id == 0 || workers_.at(id).killed || workers_.at(id).aborted) return;
  Worker& worker = workers_.at(id);
  worker.stalled = true;
  if (machine_.slots()[worker.slot].current == id) down_.insert(worker.slot);
  const bool end = random(2) == 0;
  worker.moves_at = now_ + milliseconds(random(30'000));
  note(fmt::format("w{} {}", id, end ? "hangs" : "is halted"));
  apply(machine_.worker_stalled(id, end, now_));
}

void FakeWorld::suspect_one() {
  const WorkerId id = random_worker(false);
  if (id == 0) return;
  Worker& worker = workers_.at(id);
  worker.doubted = true;
  if (machine_.slots()[worker.slot].current == id) down_.insert(worker.slot);
  note(fmt::format("w{} is doubted", id));
  apply(machine_.worker_suspect(id, "doubts", now_));
}

void FakeWorld::crash_one() {
  const WorkerId id = random_worker(false);
  note(fmt::format("w{} crashes", id));
  if (id != 0) end(id, "SIGSEGV");
}

void FakeWorld::stop(bool fast) {
  if (!stop_latest_)
    stop_latest_ = now_ + policy_.drain_timeout + GroupMachine::kDrainGrace + kKillTime;
  note("stop");
  apply(machine_.stop(fast, now_));
}

void FakeWorld::carry_out(const effect::RollDone& done) {
  expect(roll_.has_value(), "a rollout ends that did not run");
  if (!roll_) return;
  ++ended_.at(static_cast<std::size_t>(done.outcome));
  outcome_ = done.outcome;
  const Roll roll = *std::exchange(roll_, std::nullopt);
  expect((done.outcome == Outcome::stopped) == machine_.stopping(), "only a stop ends as stopped");
  if (machine_.stopping()) return;
  const bool is_done = done.outcome == Outcome::done;
  expect(!is_done || !roll.must_fail, "a rollout is done though a new worker failed");
  expect(is_done != roll.reverting, "a rollout goes back and is done, or the other way round");
  in_force_ = is_done ? roll.target : roll.before;
  if (is_done) policy_ = roll.policy;
  expect(queues_.empty(), "a rollout ends while queues are being emptied");
  expect(machine_.slots().size() == policy_.count, "a rollout ends with another number of slots");
  if (is_done && roll.replace == Replace::none) {
    for (auto& [id, worker] : workers_) {
      if (worker.release == roll.before) worker.release = roll.target;
    }
  } else {
    left_over_ = done.outcome == Outcome::partial;
  }
  for (std::uint32_t index = 0; index < machine_.slots().size(); ++index) {
    const SlotView& slot = machine_.slots()[index];
    expect(slot.release == in_force_, "a slot is left on another release than the outcome says");
    expect(slot.successor == 0 && slot.retiring == 0, "a rollout ends while a slot is in a step");
    expect(!slot.pending && !slot.awaited && !slot.emptied,
           "a rollout ends with a slot in mid-air");
    expect(!is_done || is_serving(slot.current) || down_.contains(index),
           "a rollout is done though a slot does not serve");
    const auto current = workers_.find(slot.current);
    const bool other = current != workers_.end() && current->second.release != in_force_;
    expect(!other || left_over_, "a worker of another release is left");
  }
}

void FakeWorld::check_state() {
  expect(!roll_ || now_ <= roll_->latest, "a rollout does not end");
  expect(roll_.has_value() == machine_.rolling(), "a rollout is over and nobody was told");
  expect(!stop_latest_ || stopped_ || now_ <= *stop_latest_, "a stop does not end");
  check_workers();
  check_serving();
  check_queues();
}

void FakeWorld::check_workers() {
  const std::uint32_t slots = roll_ ? std::max(roll_->policy.count, policy_.count) : policy_.count;
  const std::uint32_t beside = roll_ ? roll_->policy.surge : 1;
  // What a stop finds, it only takes away.
  expect(machine_.stopping() || workers_.size() <= slots + beside,
         "more workers than count and surge");
  expect(workers_.size() == machine_.workers().size(), "the machine miscounts its workers");
  for (std::uint32_t index = 0; index < policy_.count && !machine_.stopping(); ++index) {
    const SlotView& slot = machine_.slots()[index];
    const bool cared_for = slot.current != 0 || slot.successor != 0 || slot.retiring != 0 ||
                           slot.pending || slot.next_try || queues_.contains(index);
    expect(cared_for, "a slot is forgotten");
  }
  const auto recycling =
      std::ranges::count_if(machine_.slots(), [](const SlotView& slot) { return slot.recycling; });
  expect(recycling == (recycling_ ? 1 : 0), "a recycling is over and nobody was told");
  const auto steps = std::ranges::count_if(machine_.slots(), [](const SlotView& slot) {
    return slot.successor != 0 || slot.retiring != 0;
  });
  expect(roll_ || machine_.stopping() || steps <= 1, "two workers are recycled together");
}

void FakeWorld::check_serving() {
  if (machine_.stopping()) return;
  const std::uint32_t promised =
      roll_ ? std::min(roll_->policy.count, policy_.count) : policy_.count;
  std::uint32_t missing = 0;
  for (std::uint32_t index = 0; index < promised; ++index) {
    if (!is_serving(machine_.slots()[index].current) && !down_.contains(index)) ++missing;
  }
  const std::uint32_t allowed = roll_ && roll_->policy.stop_first ? roll_->policy.surge : 0;
  expect(missing <= allowed, "fewer slots serve than promised");
}

void FakeWorld::check_queues() {
  const bool any = any_serves();
  nobody_served_ = nobody_served_ || !any;
  for (std::uint32_t index = 0; index < machine_.slots().size(); ++index) {
    const SlotView& slot = machine_.slots()[index];
    const auto lent = lent_.find(index);
    const WorkerId holder = lent == lent_.end() ? 0 : lent->second;
    expect(holder == slot.lent_to, "the machine is wrong about who has a slot");
    expect(holder == 0 || is_serving(holder), "a slot is with a worker that does not serve");
    expect(holder == 0 || !is_serving(slot.current), "a slot with a worker is still lent");
    const auto queue = queues_.find(index);
    const bool emptied = queue != queues_.end() &&
                         (nobody_served_ || (queue->second.held_since && queue->second.released &&
                                             *queue->second.released - *queue->second.held_since >=
                                                 GroupMachine::kQueueLinger));
    expect(machine_.stopping() || !any || holder != 0 || is_serving(slot.current) || emptied,
           "nobody accepts for a slot");
  }
}

}  // namespace appserver::supervisor

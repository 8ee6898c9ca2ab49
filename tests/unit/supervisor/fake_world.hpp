// A world without processes that carries out what a GroupMachine asks for, with workers that start,
// hang, fail and crash by chance, and that notes every broken promise of the machine.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/group_machine.hpp"

namespace appserver::supervisor {

class FakeWorld final {
 public:
  // A group of `policy`; with `by_roll` one that has no slots until its first rollout.
  FakeWorld(GroupPolicy policy, bool by_roll, std::uint64_t seed);

  void start();
  // Each does nothing where the machine must not be asked for it now.
  void roll();
  void scale();
  void abort();
  void recycle_one();
  void stall_one();
  void suspect_one();
  void crash_one();
  void stop(bool fast);

  // As somebody else wants it; only while nothing is rolled or stopped.
  void order(ReleaseId target, const GroupPolicy& policy, Replace replace);
  // All workers of this release fail from here on, unless the world is healthy.
  void spoil(ReleaseId release) { bad_.insert(release); }
  // How the last rollout ended, if that was not asked before.
  std::optional<Outcome> take_outcome() { return std::exchange(outcome_, std::nullopt); }

  // Runs everything that is due within `time`.
  void pass(milliseconds time);
  // From here on workers start, answer probes, drain and end as they should.
  void make_healthy() { healthy_ = true; }

  // The first promise that was broken; empty: none.
  const std::string& broken() const { return broken_; }
  // Every slot that the last outcome promises serves, on the release that it promises.
  bool is_as_promised() const;
  bool ended() const { return stopped_ && workers_.empty(); }
  const GroupMachine& machine() const { return machine_; }
  const GroupPolicy& policy() const { return policy_; }
  ReleaseId in_force() const { return in_force_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t rolls_ended(Outcome outcome) const {
    return ended_.at(static_cast<std::size_t>(outcome));
  }
  std::uint64_t recycled() const { return recycled_; }
  std::uint64_t closed() const { return closed_; }
  // Workers that were asked for their state.
  std::uint64_t states() const { return states_; }
  std::uint32_t random(std::uint32_t below) {
    return static_cast<std::uint32_t>(random_() % below);
  }
  // What was asked and what happened, line by line; kept only while `on`.
  void trace(bool on) { tracing_ = on; }

 private:
  enum class Will { nothing, start, become_ready, pass_probe, fail_probe, end, crash };
  struct Worker {
    std::uint32_t slot = 0;
    ReleaseId release = 0;
    bool serves = false;  // was told to
    bool has_state = false;
    bool leaves_state = false;
    bool draining = false;
    Time drained_by{};  // with what it is given beyond its timeout
    bool killed = false;
    bool doubted = false;
    bool stalled = false;
    bool aborted = false;
    std::optional<Time> moves_at;
    Will will = Will::nothing;
    Time due{};
  };
  struct Roll {
    ReleaseId target = 0;
    ReleaseId before = 0;
    GroupPolicy policy;
    Replace replace = Replace::all;
    Time latest{};
    bool must_fail = false;  // a new worker did
    bool reverting = false;
  };
  // Of a slot that is being taken away.
  struct Queue {
    std::optional<Time> held_since;
    std::optional<Time> released;
  };

  void carry_out(const effect::Spawn& spawn);
  void carry_out(const effect::LeaveState& leave);
  void carry_out(const effect::Probe& probe);
  void carry_out(const effect::Serve& serve);
  void carry_out(const effect::Drain& drain);
  void carry_out(const effect::Signal& signal);
  void carry_out(const effect::Lend& lend);
  void carry_out(const effect::Reclaim& reclaim);
  void carry_out(const effect::Restarting& restarting);
  void carry_out(const effect::Progress& progress);
  void carry_out(const effect::CanaryHold& hold);
  void carry_out(const effect::CanaryDue&);
  void carry_out(const effect::Retire& retire);
  void carry_out(const effect::Close& close);
  void carry_out(const effect::RollDone& done);
  void carry_out(const effect::Recycled& recycled);
  void carry_out(const effect::Stopped&);
  void apply(const Effects& effects);

  void judge();
  void act(WorkerId id);
  void end(WorkerId id, const std::string& why);
  void plan(WorkerId id, Will will, milliseconds at_most);
  void plan_start(WorkerId id);
  void let_go(WorkerId holder);
  void expect(bool kept, const std::string& promise);
  void check_state();
  void check_workers();
  void check_serving();
  void check_queues();
  bool chance(std::uint32_t percent) { return !healthy_ && random(100) < percent; }
  bool is_bad(ReleaseId release) const { return !healthy_ && bad_.contains(release); }
  bool is_serving(WorkerId id) const;
  bool any_serves() const;
  WorkerId random_worker(bool only_open);
  std::optional<Time> next_event(WorkerId& who) const;
  milliseconds slot_time() const;
  void note(const std::string& line) const;

  GroupPolicy policy_;  // in force
  std::mt19937_64 random_;
  GroupMachine machine_;
  Time now_{std::chrono::hours(1)};
  std::map<WorkerId, Worker> workers_;
  std::map<WorkerId, int> served_;
  std::map<std::uint32_t, WorkerId> lent_;
  std::set<std::uint32_t> down_;  // slots whose worker failed by itself, or that never had one
  std::set<ReleaseId> bad_;       // releases whose workers always fail
  std::optional<Roll> roll_;
  std::optional<Outcome> outcome_;
  std::optional<Time> held_until_;
  std::optional<Time> judge_at_;
  std::map<std::uint32_t, Queue> queues_;
  Time retired_at_{};
  bool nobody_served_ = false;  // at some time since slots were retired
  std::optional<std::uint32_t> recycling_;
  bool left_over_ = false;  // a partial rollout left a worker of another release
  std::optional<Time> stop_latest_;
  std::array<std::uint64_t, 4> ended_{};
  std::uint64_t recycled_ = 0;
  std::uint64_t closed_ = 0;
  std::uint64_t states_ = 0;
  ReleaseId last_release_ = 1;
  ReleaseId in_force_ = 1;
  bool healthy_ = false;
  bool stopped_ = false;
  bool tracing_ = false;
  std::uint64_t steps_ = 0;
  std::string broken_;
};

}  // namespace appserver::supervisor

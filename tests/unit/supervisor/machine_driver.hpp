// Drives a GroupMachine by hand: a clock that the test turns, and effects as lines of text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "supervisor/group_machine.hpp"

namespace appserver::supervisor {

using Lines = std::vector<std::string>;

// For example "spawn w3 s0 r2", "spawn w3 s0 r2 after w1" (with its state), "drain w1 to w3
// 30000ms", "lend s0 to w2", "ready s0 w3", "roll rolled_back: slot 0: why", "retire all but 2",
// "recycled s0, cut 2".
std::string to_text(const Effect& effect);

inline const Lines kNothing;

// 10 s to start, 20 s to drain, no other gate.
GroupPolicy group_of(std::uint32_t count, std::uint32_t surge = 1);

class Driver final {
 public:
  explicit Driver(GroupPolicy policy, double chance = 0.0)
      : machine(policy, [chance] { return chance; }) {}

  // Starts `count` workers w1... of release 1 and makes them ready.
  void start_all();

  Lines start(ReleaseId release) { return lines(machine.start(release, now)); }
  Lines roll(ReleaseId release, GroupPolicy policy) {
    return lines(machine.roll(release, policy, Replace::all, now));
  }
  Lines resize(ReleaseId release, GroupPolicy policy) {
    return lines(machine.roll(release, policy, Replace::none, now));
  }
  Lines abort(const std::string& why) { return lines(machine.abort(why, now)); }
  Lines judged(CanaryAction action, const std::string& why = {}) {
    return lines(machine.canary_judged(action, why, now));
  }
  Lines recycle(WorkerId worker) { return lines(machine.recycle(worker, false, now)); }
  Lines recycle_stop_first(WorkerId worker) { return lines(machine.recycle(worker, true, now)); }
  Lines suspect(WorkerId worker, const std::string& why) {
    return lines(machine.worker_suspect(worker, why, now));
  }
  // Its loop stands still: it is to end, or a debugger holds it.
  Lines hangs(WorkerId worker) { return lines(machine.worker_stalled(worker, true, now)); }
  Lines halted(WorkerId worker) { return lines(machine.worker_stalled(worker, false, now)); }
  Lines moves(WorkerId worker) { return lines(machine.worker_moves(worker, now)); }
  Lines stop(bool fast) { return lines(machine.stop(fast, now)); }
  Lines ready(WorkerId worker) { return lines(machine.worker_ready(worker, now)); }
  Lines ready_with_state(WorkerId worker) { return lines(machine.worker_ready(worker, now, true)); }
  Lines started(WorkerId worker) { return lines(machine.worker_started(worker, now)); }
  Lines probed(WorkerId worker, bool passed, const std::string& why = {}) {
    return lines(machine.worker_probed(worker, passed, why, now));
  }
  Lines drained(WorkerId worker, std::uint64_t cut) {
    return lines(machine.worker_drained(worker, cut, now));
  }
  Lines gone(WorkerId worker, const std::string& why = "SIGSEGV") {
    return lines(machine.worker_gone(worker, why, now));
  }
  Lines after(milliseconds time) {
    now += time;
    return lines(machine.tick(now));
  }
  // `successor` becomes ready and the one before it ends.
  void replace(WorkerId successor, WorkerId old);
  // How long until the machine wants to be called; -1 where it does not.
  milliseconds wait() const;

  GroupMachine machine;
  Time now{std::chrono::hours(1)};

 private:
  static Lines lines(const Effects& effects);
};

// What each slot's next worker runs.
std::vector<ReleaseId> releases(const Driver& group);

}  // namespace appserver::supervisor

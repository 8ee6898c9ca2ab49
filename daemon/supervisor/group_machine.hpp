// What a group of workers does next: slots, successors, drains, restarts and the rollout over them.
// Pure: events and the time go in, effects come out; the supervisor carries them out. So it is
// tested without processes and without a clock.
//
// clang-format off
//   worker (gate)   event                  next                       effects
//   starting        ready, a successor     probing, settling or open  Probe
//   starting        ready                  open                       Serve
//   probing         probe passed           settling or open           -
//   settling        alive for min_ready    open, now the current      Serve, Drain(old -> this)
//   any before open failed, gone, too late -                          Signal; the rollout reverts
//                                                                     or RestartPolicy restarts
//   open            gone, new in a rollout -                          the rollout reverts
//   open            gone                   -                          RestartPolicy restarts
//   draining        gone                   -                          the next slot's step begins
//   draining        its deadline           -                          Signal
// clang-format on
//
// A rollout that fails leaves the slots that were not replaced as they are and replaces the others
// by the release before. There, too, each slot is tried once: one that fails keeps what it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "supervisor/restart_policy.hpp"

namespace appserver::supervisor {

using WorkerId = std::uint64_t;  // counts all workers of a group; 0 is none
using ReleaseId = std::uint64_t;

struct GroupPolicy {
  std::uint32_t count = 1;
  std::uint32_t surge = 1;
  milliseconds start_timeout{30'000};
  milliseconds min_ready{0};
  milliseconds drain_timeout{30'000};
  bool probe = false;
};

enum class Step { slot_starting, slot_ready, slot_draining, slot_replaced, slot_failed, reverting };
enum class Outcome { done, rolled_back, partial, stopped };

namespace effect {
struct Spawn {
  WorkerId worker;
  std::uint32_t slot;
  ReleaseId release;
};
struct Probe {
  WorkerId worker;
};
struct Serve {
  WorkerId worker;
};
struct Drain {
  WorkerId worker;
  WorkerId successor;
  milliseconds timeout;
};  // successor 0: a polite drain
struct Signal {
  WorkerId worker;
  int signal;
  std::string why;
};
struct Lend {
  std::uint32_t slot;
  WorkerId to;
};
struct Reclaim {
  std::uint32_t slot;
  WorkerId from;
};
struct Restarting {
  std::uint32_t slot;
  milliseconds delay;
  bool crash_loop;
};
struct Progress {
  Step step;
  std::uint32_t slot;
  WorkerId worker;
  std::string text;
  std::uint64_t cut = 0;
};
struct RollDone {
  Outcome outcome;
  std::string text;
};
struct Stopped {};
}  // namespace effect

using Effect = std::variant<effect::Spawn, effect::Probe, effect::Serve, effect::Drain,
                            effect::Signal, effect::Lend, effect::Reclaim, effect::Restarting,
                            effect::Progress, effect::RollDone, effect::Stopped>;
using Effects = std::vector<Effect>;

enum class Gate { starting, probing, settling, open };
enum class Role { current, successor, retiring };

struct WorkerView {
  std::uint32_t slot = 0;
  ReleaseId release = 0;
  Gate gate = Gate::starting;
  Role role = Role::current;
  bool draining = false;
  bool killed = false;           // SIGKILL was sent; its end is no surprise
  std::optional<Time> deadline;  // of the gate, or of the drain
  std::uint64_t cut = 0;
};

struct SlotView {
  ReleaseId release = 0;  // what a restart here runs
  WorkerId current = 0;
  WorkerId successor = 0;
  WorkerId retiring = 0;
  WorkerId lent_to = 0;
  bool pending = false;  // the rollout still has to replace its worker
  std::optional<Time> next_try;
  std::uint64_t restarts = 0;
  RestartPolicy policy;
};

class GroupMachine final {
 public:
  // A worker told to drain that still runs this long after its deadline is killed.
  static constexpr milliseconds kDrainGrace{5'000};

  // `chance` gives numbers in [0, 1), for jitter.
  GroupMachine(GroupPolicy policy, std::function<double()> chance);

  Effects start(ReleaseId release, Time now);

  // Replaces every worker by one of `release`, which may be the one that runs. `policy` holds from
  // here on, its count aside, unless the rollout fails. Only when not rolling() and not stopping().
  Effects roll(ReleaseId release, GroupPolicy policy, Time now);

  // Ends the group; `fast` cuts what is in flight. May be called again to hurry.
  Effects stop(bool fast, Time now);

  Effects worker_ready(WorkerId worker, Time now);
  Effects worker_probed(WorkerId worker, bool passed, const std::string& why, Time now);
  // It must not be trusted: a successor that is not open yet fails the rollout, any other is
  // killed.
  Effects worker_suspect(WorkerId worker, const std::string& why, Time now);
  Effects worker_drained(WorkerId worker, std::uint64_t cut, Time now);

  // The process ended, or could not be made. `why` is in words.
  Effects worker_gone(WorkerId worker, const std::string& why, Time now);

  // To be called when next_deadline() has come.
  Effects tick(Time now);
  std::optional<Time> next_deadline() const;

  bool rolling() const { return rollout_.has_value(); }
  bool stopping() const { return stopping_; }
  const std::vector<SlotView>& slots() const { return slots_; }
  const std::map<WorkerId, WorkerView>& workers() const { return workers_; }
  const WorkerView* find(WorkerId worker) const;
  std::uint32_t ready_count() const;

 private:
  struct Rollout {
    ReleaseId target = 0;
    ReleaseId before = 0;
    GroupPolicy policy_before;
    bool reverting = false;
    bool stuck = false;  // a slot could not be brought back
    std::string reason;
  };

  WorkerId spawn(std::uint32_t slot, ReleaseId release, Role role, Time now, Effects& effects);
  void open_gate(WorkerId id, Time now, Effects& effects);
  void settle(WorkerId id, Time now, Effects& effects);
  void promote(WorkerId id, Time now, Effects& effects);
  void drain(WorkerId id, WorkerId successor, milliseconds timeout, Time now, Effects& effects);
  void kill(WorkerId id, const std::string& why, Effects& effects);
  void candidate_failed(WorkerId id, const std::string& why, Time now, Effects& effects);
  void rollout_failed(std::uint32_t slot, const std::string& why, Time now, Effects& effects);
  void current_gone(std::uint32_t slot, WorkerId id, const std::string& why, Time now,
                    Effects& effects);
  void overdue(WorkerId id, Time now, Effects& effects);
  void advance(Time now, Effects& effects);
  void lend(Effects& effects);
  Effects finish(Time now, Effects effects);
  bool step_in_progress(const SlotView& slot) const {
    return slot.successor != 0 || slot.retiring != 0;
  }
  bool serves(WorkerId id) const;

  GroupPolicy policy_;
  std::function<double()> chance_;
  std::vector<SlotView> slots_;
  std::map<WorkerId, WorkerView> workers_;
  std::optional<Rollout> rollout_;
  WorkerId last_id_ = 0;
  bool stopping_ = false;
  bool stopped_ = false;
};

}  // namespace appserver::supervisor

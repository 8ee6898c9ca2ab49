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
//   starting        too late               starting, aborted          SIGABRT, later SIGKILL
//   open            gone, new in a rollout -                          the rollout reverts
//   open            gone                   -                          RestartPolicy restarts
//   open            hangs                  open, stalled              Lend, SIGABRT, later SIGKILL
//   draining        gone                   -                          the next slot's step begins
//   draining        its deadline           draining, aborted          SIGABRT, later SIGKILL
//
//   rollout         event                  next
//   stepping        canary slots done      holding                    CanaryHold
//   holding         its time is over       judging                    CanaryDue
//   judging         proceed / worse / wait stepping / reverting / waiting
//   waiting         proceed()              stepping
//   all of these    abort(), its deadline, reverting
//                   a failure
//   stepping        all slots done         retiring, where it shrinks Retire, Drain(old -> sibling)
//   retiring        queues are empty       closing                    Reclaim
//   closing         nobody holds them      over                       Close, RollDone
// clang-format on
//
// A rollout that fails leaves the slots that were not replaced as they are and replaces the others
// by the release before. There, too, each slot is tried once: one that fails keeps what it runs,
// and one that has no worker any more is restarted. Once it retires slots it cannot fail any more.
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
  bool stop_first = false;  // a slot's old worker goes before the new one starts
  milliseconds start_timeout{30'000};
  milliseconds min_ready{0};
  milliseconds drain_timeout{30'000};
  bool probe = false;
  milliseconds deadline{0};  // of a rollout, the hold not counted; 0: none
  std::uint32_t canary = 0;  // slots that are replaced first and then held; 0: none
  milliseconds hold{0};
};

// What a roll() does with workers that are there.
enum class Replace {
  all,
  none,  // they stay: only the number of slots changes
};

enum class CanaryAction { proceed, roll_back, wait };

enum class Step {
  slot_starting,
  slot_ready,
  slot_draining,
  slot_replaced,
  slot_removed,
  slot_failed,
  reverting
};
enum class Outcome { done, rolled_back, partial, stopped };

namespace effect {
struct Spawn {
  WorkerId worker;
  std::uint32_t slot;
  ReleaseId release;
  // That serves and has state to leave: it is asked for it first, for kStatePatience at most; then
  // the process starts, with it or without, and worker_started() follows. 0: none.
  WorkerId predecessor = 0;
};
// Right before its end it is to leave its state to the slot's next worker; a Drain follows.
struct LeaveState {
  WorkerId worker;
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
struct CanaryHold {
  Time until;
};
struct CanaryDue {};
// New connections are to go to the queues of the first `slots` slots only.
struct Retire {
  std::uint32_t slots;
};
// The other slots are empty: their sockets go.
struct Close {
  std::uint32_t slots;
};
struct RollDone {
  Outcome outcome;
  std::string text;
};
// What recycle() began is over.
struct Recycled {
  std::uint32_t slot;
  bool replaced;
  std::string text;  // why not
  std::uint64_t cut = 0;
};
struct Stopped {};
}  // namespace effect

using Effect =
    std::variant<effect::Spawn, effect::LeaveState, effect::Probe, effect::Serve, effect::Drain,
                 effect::Signal, effect::Lend, effect::Reclaim, effect::Restarting,
                 effect::Progress, effect::CanaryHold, effect::CanaryDue, effect::Retire,
                 effect::Close, effect::RollDone, effect::Recycled, effect::Stopped>;
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
  bool stalled = false;          // its loop stands still
  bool aborted = false;          // SIGABRT was sent: for that, or as it came or went too late
  bool has_state = false;        // to leave to a successor
  std::optional<Time> deadline;  // of the gate, or of the drain
  std::uint64_t cut = 0;
};

struct SlotView {
  ReleaseId release = 0;  // what a restart here runs
  WorkerId current = 0;
  WorkerId successor = 0;
  WorkerId retiring = 0;
  WorkerId lent_to = 0;
  bool pending = false;   // the rollout still has to replace its worker
  bool replaced = false;  // the rollout has: its end counts against the release
  bool awaited = false;   // the rollout waits for the restart that brings the old release back
  bool recycling = false;
  // Stop-first: its old worker was told to go, the new one is still to start.
  bool emptied = false;
  // By its last worker that drained before its successor started, or died before that one served.
  std::uint64_t cut = 0;
  std::optional<Time> next_try;
  std::uint64_t restarts = 0;
  RestartPolicy policy;
};

class GroupMachine final {
 public:
  // A worker told to drain that still runs this long after its deadline hangs.
  static constexpr milliseconds kDrainGrace{5'000};
  // From SIGABRT to SIGKILL, for one that serves and for one that does not yet or not any more: a
  // rollout waits for the latter. Both leave a crash handler its two seconds.
  static constexpr milliseconds kAbortGrace{5'000};
  static constexpr milliseconds kLateAbortGrace{3'000};
  // How long a sibling still accepts from the queue of a slot that was taken away: handshakes that
  // were under way end there. Also how long it is given to let go of the queue.
  static constexpr milliseconds kQueueLinger{1'000};

  // For a worker's answer with its state: the successor starts without it then.
  static constexpr milliseconds kStatePatience{2'000};

  // `chance` gives numbers in [0, 1), for jitter.
  GroupMachine(GroupPolicy policy, std::function<double()> chance);

  Effects start(ReleaseId release, Time now);

  // Replaces every worker (or none) by one of `release`, which may be the one that runs, and makes
  // the number of slots that of `policy`. `policy` holds from here on, unless the rollout fails.
  // Only when not rolling() and not stopping(). A machine made with a count of 0 starts its group
  // so: with every gate, and all or nothing.
  Effects roll(ReleaseId release, GroupPolicy policy, Replace replace, Time now);
  // The rollout goes back, unless it is past that: false then.
  bool can_abort() const;
  Effects abort(const std::string& why, Time now);
  // The answer to CanaryDue; proceed also ends a wait.
  Effects canary_judged(CanaryAction action, const std::string& why, Time now);
  bool going_back() const { return rollout_ && rollout_->reverting; }
  bool canary_waits() const { return rollout_ && rollout_->phase == Phase::waiting; }

  // A fresh worker of the same release takes the slot of `worker` over; with `stop_first` it starts
  // when that one is gone. False, and nothing happens, where something else is under way in the
  // group or the worker does not serve.
  bool can_recycle(WorkerId worker) const;
  Effects recycle(WorkerId worker, bool stop_first, Time now);

  // Ends the group; `fast` cuts what is in flight. May be called again to hurry.
  Effects stop(bool fast, Time now);

  // The process of a Spawn with a predecessor has started: its start_timeout begins.
  Effects worker_started(WorkerId worker, Time now);
  Effects worker_ready(WorkerId worker, Time now, bool has_state = false);
  Effects worker_probed(WorkerId worker, bool passed, const std::string& why, Time now);
  // It must not be trusted: a successor that is not open yet fails the rollout, any other is
  // killed.
  Effects worker_suspect(WorkerId worker, const std::string& why, Time now);
  // Its loop stands still: a sibling accepts in its place. `end`: it is to die of SIGABRT, and soon
  // of SIGKILL. Only for workers that serve or drain: the gates before have deadlines of their own.
  Effects worker_stalled(WorkerId worker, bool end, Time now);
  // It turns again.
  Effects worker_moves(WorkerId worker, Time now);
  // `cut`: connections that end with it, by the drain's deadline or by its death.
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
  // The slot is being taken away, and nothing can change that any more.
  bool is_doomed(std::uint32_t slot) const;
  // Every slot that stays has a ready worker.
  bool all_ready() const;

 private:
  enum class Phase { stepping, holding, judging, waiting, retiring, closing };

  struct Rollout {
    ReleaseId target = 0;
    ReleaseId before = 0;
    GroupPolicy policy_before;
    Phase phase = Phase::stepping;
    std::optional<Time> deadline;
    std::optional<Time> phase_over;    // of the hold, or of the emptying of queues
    std::optional<Time> retire_limit;  // for siblings to come up that could empty them
    bool looked_after = false;         // the queues are being emptied
    std::uint32_t started = 0;         // steps
    bool canary_passed = false;
    bool reverting = false;
    bool stuck = false;  // a slot could not be brought back
    std::string reason;
  };

  WorkerId spawn(std::uint32_t slot, ReleaseId release, Role role, Time now, Effects& effects);
  void open_gate(WorkerId id, Time now, Effects& effects);
  void settle(WorkerId id, Time now, Effects& effects);
  void promote(WorkerId id, Time now, Effects& effects);
  void drain(WorkerId id, WorkerId successor, milliseconds timeout, Time now, Effects& effects);
  void dismiss(WorkerId id, WorkerId successor, const std::string& why, Time now, Effects& effects);
  void kill(WorkerId id, const std::string& why, Effects& effects);
  void abort_late(WorkerId id, const std::string& why, Time now, Effects& effects);
  void candidate_failed(WorkerId id, const std::string& why, Time now, Effects& effects);
  void rollout_failed(std::optional<std::uint32_t> slot, const std::string& why, Time now,
                      Effects& effects);
  void abandon(SlotView& slot, const std::string& why, Effects& effects);
  void current_gone(std::uint32_t slot, const WorkerView& worker, WorkerId id,
                    const std::string& why, Time now, Effects& effects);
  void retiring_gone(std::uint32_t slot, const WorkerView& worker, Time now, Effects& effects);
  void refill(std::uint32_t slot, std::uint64_t cut, Time now, Effects& effects);
  void end_recycling(std::uint32_t slot, bool replaced, const std::string& text, std::uint64_t cut,
                     Effects& effects);
  void overdue(WorkerId id, Time now, Effects& effects);
  void tick_rollout(Time now, Effects& effects);
  void advance(Time now, Effects& effects);
  std::uint32_t steps_in_progress() const;
  bool start_steps(Time now, Effects& effects);
  void start_step(std::uint32_t slot, Time now, Effects& effects);
  enum class State { left, dropped };
  void retire_current(std::uint32_t slot, const std::string& why, State state, Time now,
                      Effects& effects);
  void hold_canary(Time now, Effects& effects);
  void begin_retiring(Time now, Effects& effects);
  bool queues_are_empty(Time now);
  void close_queues(Time now, Effects& effects);
  void end_rollout(Effects& effects);
  bool past_return() const;
  WorkerId serving_sibling(std::uint32_t slot) const;
  void reclaim(std::uint32_t slot, Effects& effects);
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

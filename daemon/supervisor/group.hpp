// A group at work: carries out what its machine decides, with real processes, sockets and timers.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/api.hpp"
#include "supervisor/canary.hpp"
#include "supervisor/group_machine.hpp"
#include "supervisor/health.hpp"
#include "supervisor/listeners.hpp"
#include "supervisor/release.hpp"
#include "supervisor/surge.hpp"
#include "supervisor/tls_files.hpp"
#include "supervisor/worker_process.hpp"

namespace appserver::supervisor {

// How a group is to be brought to another release.
struct RollOrder {
  GroupReleasePtr release;
  Replace replace = Replace::all;
  SurgePlan surge;
  config::Canary canary;
  bool way_back = false;  // no deadline then: there is nothing to go back to
};

// How far that is.
struct RollProgress {
  std::uint32_t slots = 0;
  std::uint32_t slots_done = 0;
  std::optional<Time> hold_until;  // a canary is watched
  bool waits = false;              // for a person: the canary was inconclusive
};

// By the end of one worker.
struct CutAtStop {
  std::uint64_t count = 0;
  std::string by;  // that worker, where it died of it: "api/0 (pid 7): SIGSEGV"
};

class Group final {
 public:
  struct Hooks {
    std::function<void()> changed;                          // a worker became ready, or ended
    std::function<void(const std::string& group)> stopped;  // no worker is left after stop()
    std::function<void(const std::string& group)> crash_looping;
    // A worker ended, or was ended, without having been told to. Its page holds the crash note.
    std::function<void(control::CrashRecord, std::shared_ptr<WorkerProcess>)> crashed;
  };
  using OnEvent = std::function<void(control::RolloutEvent)>;
  using OnRolled = std::function<void(Outcome, const std::string& why)>;
  // `why`: why not; where it was, which worker died with those that were cut, if any.
  using OnRecycled = std::function<void(bool replaced, const std::string& why, std::uint64_t cut)>;

  enum class Begin {
    start,  // by start(), without a rollout
    roll,   // by roll(), with every gate
  };

  // Opens the listeners. Throws naming the address that cannot be had.
  Group(const SpawnContext& context, GroupReleasePtr release, config::LogLevel log_level,
        Hooks hooks, Begin begin = Begin::start);
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group();

  void start();
  // Opens addresses that the release needs beside those in use; throws naming the one that cannot
  // be had. close_unused() takes that back, or closes what is not needed any more.
  void open_for(const config::Group& config);
  void close_unused();
  // Brings the group to the order's release; only while idle. `rolled` is called once, and with it
  // the release is the group's own if the outcome is done.
  void roll(const RollOrder& order, OnEvent on_event, OnRolled rolled);
  // Both false where there is nothing of the kind under way.
  bool abort(const std::string& why);
  bool proceed(const std::string& who);
  // A fresh worker takes the slot over. Gives why not, or calls `done` later.
  std::string recycle(std::uint32_t slot, OnEvent on_event, OnRecycled done);
  // A reload left this group alone.
  void tell_kept();
  void tell_gateway_size();
  void stop(bool fast);

  // What a worker of the release is to serve with: the newest that is known to be good of its
  // files. Null without TLS.
  TlsMaterialPtr tls_of(const GroupRelease& release) const;
  // The same of its link to groups of other daemons; null without one.
  TlsMaterialPtr link_of(const GroupRelease& release) const;
  // Newer material of these files, for all workers that use them, from now on. `as_before`: as
  // what tls_of() or link_of() gives.
  void renew_tls(const config::Tls& tls, TlsMaterialPtr material);

  const std::string& name() const { return committed_->config.name; }
  const GroupReleasePtr& release() const { return committed_; }
  bool rolling() const { return machine_.rolling(); }
  bool going_back() const { return machine_.going_back(); }
  bool can_abort() const { return machine_.can_abort(); }
  RollProgress progress() const;
  // Resident bytes of its largest worker.
  std::uint64_t largest_worker() const;
  // Every slot has had a ready worker or a failure: the start is over.
  bool start_is_over() const { return first_outcomes_ >= committed_->config.count; }
  std::uint32_t ready_count() const { return machine_.ready_count(); }
  // Connections that stop() had to cut so far.
  const std::vector<CutAtStop>& cut_at_stop() const { return cut_at_stop_; }
  control::GroupStatus status() const;

 private:
  struct Process {
    std::shared_ptr<WorkerProcess> process;
    std::uint64_t generation = 0;
    bool was_stopped = false;       // by a signal or a debugger, when it was last looked at
    bool waits_for_memory = false;  // to be recycled; was told
  };

  // Of a slot's worker that died while it was being replaced; kept until that is told.
  struct Death {
    pid_t pid = 0;
    std::string words;
  };

  void apply(const Effects& effects);
  void make_room(std::uint32_t slots);
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
  void carry_out(const effect::CanaryDue& due);
  void carry_out(const effect::Retire& retire);
  void carry_out(const effect::Close& close);
  void carry_out(const effect::RollDone& done);
  void carry_out(const effect::Recycled& recycled);
  void carry_out(const effect::Stopped& stopped);
  void on_message(WorkerId worker, channel::Message& message);
  void start_process(WorkerId worker, std::uint32_t slot, ReleaseId release, os::Fd state);
  void could_not_start(WorkerId worker, const std::string& why);
  void on_state(WorkerId worker, channel::Message& message);
  void stop_waiting(WorkerId successor, os::Fd state, const std::string& why_none);
  void stop_waiting_for(WorkerId predecessor);
  void forget_state(WorkerId left_by);
  std::string describe_patience_over(WorkerId successor);
  void lose_state(std::uint32_t slot, const std::string& why, WorkerId heir);
  void began_to_serve(WorkerId worker, std::uint32_t slot);
  void tell_most_connections(const WorkerProcess& process, const config::Group& config);
  void took_no_state(WorkerId worker, const std::string& why);
  void forget_heir(WorkerId worker);
  void forget_loss(std::uint32_t slot, WorkerId successor);
  os::Fd what_was_left(std::uint32_t slot);
  void left_nothing(WorkerId worker, std::uint32_t slot, const std::string& how_it_ended);
  void on_gone(WorkerId worker, const WorkerEnd& end);
  void had_outcome(std::uint32_t slot);
  void arm_timer();
  void on_deadline();
  void arm_health_check();
  void check_health();
  void check_heartbeat(WorkerId worker, const WorkerView& view, const WorkerProcess& process);
  void recycle_if_due(WorkerId worker, const WorkerProcess& process,
                      std::optional<SurgeInput>& memory);
  SurgeInput look_at_memory() const;
  std::map<WorkerId, CanarySample> sample() const;
  void report_crash(const WorkerView& view, const Process& ended, const WorkerEnd& end,
                    const std::string& words);
  const config::Group& config_of(ReleaseId release) const;
  GroupReleasePtr release_of(ReleaseId release) const;
  void note_death(const WorkerView& view, const WorkerProcess& process, const std::string& words);
  std::string describe(std::uint32_t slot, const Death& death) const;
  void count_cut_at_stop(std::uint32_t slot, std::uint64_t cut);
  std::optional<Death> take_death(std::uint32_t slot);
  void tell_cut(std::uint32_t slot, std::uint64_t cut, pid_t died);
  void emit(control::RolloutEvent event);
  void log(telemetry::Level level, std::uint32_t slot, pid_t pid, const std::string& text);
  WorkerProcess* find(WorkerId worker);
  control::WorkerStatus worker_status(WorkerId worker, const WorkerView& view) const;
  std::optional<std::string> state_lost(std::uint32_t slot) const;
  control::WorkerStatus absent_status(std::uint32_t slot) const;
  control::GroupState state() const;

  const SpawnContext& context_;
  config::LogLevel log_level_;
  Hooks hooks_;
  GroupReleasePtr committed_;
  GroupReleasePtr target_;  // while rolling
  config::Canary canary_;   // of the rollout at hand
  std::optional<Time> hold_until_;
  std::map<WorkerId, CanarySample> at_hold_;
  Listeners listeners_;
  std::vector<std::pair<config::Tls, TlsMaterialPtr>> tls_;  // of the two releases
  GroupMachine machine_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer health_timer_;
  OwnStall own_stall_;
  std::map<WorkerId, Process> processes_;
  std::vector<std::uint64_t> generations_;
  std::vector<std::optional<std::string>> last_exits_;
  std::vector<std::uint64_t> handed_over_;  // by the slot's last worker that drained
  std::map<std::uint32_t, Death> deaths_;   // by slot
  std::vector<bool> had_outcome_;
  std::uint32_t first_outcomes_ = 0;
  OnEvent on_event_;
  OnRolled on_rolled_;
  OnRecycled on_recycled_;
  std::optional<Time> no_recycling_before_;
  std::uint64_t recycled_ = 0;
  std::uint64_t told_most_connections_ = 0;
  std::vector<CutAtStop> cut_at_stop_;
  // Successors whose process waits for what their predecessor leaves.
  struct Waiting {
    WorkerId predecessor = 0;
    ReleaseId release = 0;
    std::unique_ptr<boost::asio::steady_timer> patience;
  };
  std::map<WorkerId, Waiting> waiting_;
  // By slot: what a worker that has ended before its successor starts has left. It is kept until
  // one of the slot serves, so that one that fails to start takes it from nobody.
  struct Left {
    WorkerId by = 0;
    os::Fd file;
    unsigned given = 0;
  };
  // So that one whose state crashes whoever gets it does not do so for ever.
  static constexpr unsigned kMaxGiven = 2;
  std::map<std::uint32_t, Left> left_;
  std::set<WorkerId> asked_to_leave_;
  // By slot: why its worker is to begin, or has begun, without what the one before it knew.
  struct LostState {
    std::string why;
    WorkerId heir = 0;  // who begins so; 0: whoever serves next
  };
  std::map<std::uint32_t, LostState> losing_;      // until that one serves
  std::map<std::uint32_t, LostState> lost_state_;  // until a good reload of the slot
  // Handlers that come after this object is gone find it empty.
  std::shared_ptr<Group*> alive_ = std::make_shared<Group*>(this);
};

}  // namespace appserver::supervisor

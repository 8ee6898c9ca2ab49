// A group at work: carries out what its machine decides, with real processes, sockets and timers.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "control/api.hpp"
#include "supervisor/group_machine.hpp"
#include "supervisor/listeners.hpp"
#include "supervisor/release.hpp"
#include "supervisor/worker_process.hpp"

namespace appserver::supervisor {

class Group final {
 public:
  struct Hooks {
    std::function<void()> changed;  // a worker became ready, or ended
    std::function<void()> stopped;  // no worker is left after stop()
  };
  using OnEvent = std::function<void(control::RolloutEvent)>;
  using OnRolled = std::function<void(Outcome, const std::string& why)>;

  // Opens the listeners. Throws naming the address that cannot be had.
  Group(const SpawnContext& context, ReleasePtr release, config::LogLevel log_level, Hooks hooks);
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group();

  void start();
  // Replaces all workers by `release`; only while idle. `rolled` is called once, and with it the
  // release is the group's own if the outcome is done.
  void roll(ReleasePtr release, OnEvent on_event, OnRolled rolled);
  // A reload left this group alone.
  void tell_kept();
  void stop(bool fast);

  const std::string& name() const { return committed_->config.name; }
  const ReleasePtr& release() const { return committed_; }
  bool rolling() const { return machine_.rolling(); }
  // Every slot has had a ready worker or a failure: the start is over.
  bool start_is_over() const { return first_outcomes_ >= committed_->config.count; }
  std::uint32_t ready_count() const { return machine_.ready_count(); }
  control::GroupStatus status() const;

 private:
  struct Process {
    std::shared_ptr<WorkerProcess> process;
    std::uint64_t generation = 0;
  };

  void apply(const Effects& effects);
  void carry_out(const effect::Spawn& spawn);
  void carry_out(const effect::Probe& probe);
  void carry_out(const effect::Serve& serve);
  void carry_out(const effect::Drain& drain);
  void carry_out(const effect::Signal& signal);
  void carry_out(const effect::Lend& lend);
  void carry_out(const effect::Reclaim& reclaim);
  void carry_out(const effect::Restarting& restarting);
  void carry_out(const effect::Progress& progress);
  void carry_out(const effect::RollDone& done);
  void carry_out(const effect::Stopped& stopped);
  void on_message(WorkerId worker, const channel::Message& message);
  void on_gone(WorkerId worker, const WorkerEnd& end);
  void had_outcome(std::uint32_t slot);
  void arm_timer();
  void on_deadline();
  void log(telemetry::Level level, std::uint32_t slot, pid_t pid, const std::string& text);
  WorkerProcess* find(WorkerId worker);
  control::WorkerStatus worker_status(WorkerId worker, const WorkerView& view) const;
  control::WorkerStatus absent_status(std::uint32_t slot) const;
  control::GroupState state() const;

  const SpawnContext& context_;
  config::LogLevel log_level_;
  Hooks hooks_;
  ReleasePtr committed_;
  ReleasePtr target_;  // while rolling
  Listeners listeners_;
  GroupMachine machine_;
  boost::asio::steady_timer timer_;
  std::map<WorkerId, Process> processes_;
  std::vector<std::uint64_t> generations_;
  std::vector<std::optional<std::string>> last_exits_;
  std::vector<std::uint64_t> handed_over_;  // by the slot's last worker that drained
  std::vector<bool> had_outcome_;
  std::uint32_t first_outcomes_ = 0;
  OnEvent on_event_;
  OnRolled on_rolled_;
  // Handlers that come after this object is gone find it empty.
  std::shared_ptr<Group*> alive_ = std::make_shared<Group*>(this);
};

}  // namespace appserver::supervisor

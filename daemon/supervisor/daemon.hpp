// The supervisor's process as one object: groups, rollouts, control API, signals.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "control/commands.hpp"
#include "control/server.hpp"
#include "os/fd.hpp"
#include "supervisor/archive.hpp"
#include "supervisor/drop_directory.hpp"
#include "supervisor/group.hpp"
#include "supervisor/rollouts.hpp"
#include "telemetry/log.hpp"

namespace appserver::supervisor {

class Supervisor final : public control::Commands {
 public:
  Supervisor(const config::Config& config, const os::BootState& boot_state, std::string version);
  int run();

  control::Status status() override;
  void reload(control::ReloadRequest request, control::Peer peer,
              std::shared_ptr<control::EventStream> events) override;
  void restart(control::RestartRequest request, control::Peer peer,
               std::shared_ptr<control::EventStream> events) override;
  void rollback(control::RollbackRequest request, control::Peer peer,
                std::shared_ptr<control::EventStream> events) override;
  void scale(control::ScaleRequest request, control::Peer peer,
             std::shared_ptr<control::EventStream> events) override;
  void drain(control::DrainRequest request, control::Peer peer,
             std::shared_ptr<control::EventStream> events) override;
  std::optional<control::RolloutStatus> rollout() override;
  void watch(std::shared_ptr<control::EventStream> events) override;
  std::string abort(control::Peer peer) override;
  std::string proceed(control::Peer peer) override;
  std::string confirm(control::Peer peer) override;
  std::vector<control::ReleaseSummary> history() override;
  std::vector<control::CrashRecord> crashes() override;
  std::optional<control::CrashRecord> crash(std::uint64_t number) override;
  void stop(control::StopRequest request, control::Peer peer) override;

 private:
  void open_groups();
  std::unique_ptr<Group> make_group(GroupReleasePtr release, Group::Begin begin);
  void report_archive_problems();
  void run_loop();
  void warn_of_root();
  void watch_signals();
  void on_signal(int number);
  void feed_watchdog();
  void watch_folder();
  void group_changed();
  void group_stopped(const std::string& group);
  void crashed(control::CrashRecord record, std::shared_ptr<WorkerProcess> process);
  void rollout_ended(const Rollout::End& end);
  void renew_notes(const Rollout::End& end);
  void begin_stop(bool fast, const std::string& who);
  void end();
  void wait_for_files();
  control::DaemonState state() const;
  Group* find(const std::string& name) const;

  config::Config config_;
  std::string version_;
  boost::asio::io_context io_{1};
  telemetry::Log log_;
  SpawnContext context_;
  // Before the groups: a lock on the control socket keeps a second daemon from the same state
  // directory.
  std::unique_ptr<control::Server> control_;
  os::Fd state_lock_;
  Archive archive_;  // once run() was called, for the thread of files_ alone
  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<std::string> notes_;
  boost::asio::thread_pool files_{1};
  std::unique_ptr<Rollouts> rollouts_;
  std::unique_ptr<DropDirectory> folder_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  bool up_ = false;
  bool stopping_ = false;
};

}  // namespace appserver::supervisor

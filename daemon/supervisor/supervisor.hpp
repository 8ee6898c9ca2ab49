// The supervisor's process as one object: groups, rollouts, control API, signals.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/commands.hpp"
#include "control/server.hpp"
#include "supervisor/archive_keeper.hpp"
#include "supervisor/bus.hpp"
#include "supervisor/crash_analysis.hpp"
#include "supervisor/drop_directory.hpp"
#include "supervisor/first_release.hpp"
#include "supervisor/gateway_asks.hpp"
#include "supervisor/gateway_links.hpp"
#include "supervisor/group.hpp"
#include "supervisor/pushers.hpp"
#include "supervisor/rollouts.hpp"
#include "supervisor/tls_renewal.hpp"
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
  void gateway(control::GatewayRequest request, control::Peer peer, GatewayDone done) override;
  std::vector<control::ReleaseSummary> history() override;
  std::vector<control::CrashRecord> crashes() override;
  std::optional<control::CrashRecord> crash(std::uint64_t number) override;
  void stop(control::StopRequest request, control::Peer peer) override;

 private:
  FirstRelease open_groups();
  std::unique_ptr<Group> make_group(GroupReleasePtr release, Group::Begin begin);
  void report_archive_problems();
  void run_loop();
  void warn_of_root();
  void warn_of_memory();
  void watch_signals();
  void on_signal(int number);
  void feed_watchdog();
  void watch_folder();
  // What a group's TLS addresses or its link are served with.
  struct Served {
    Group* group;
    std::string what;  // "api: tls"
    config::Tls tls;
    TlsMaterialPtr material;
  };
  std::vector<Served> served_material() const;
  void watch_certificates();
  void add_tls_notes(std::vector<std::string>& notes) const;
  void tell_of_certificates();
  void group_changed();
  void group_stopped(const std::string& group);
  void crashed(control::CrashRecord record, std::shared_ptr<WorkerProcess> process);
  void record_crash(control::CrashRecord record);
  void rollout_ended(const Rollout::End& end);
  void renew_notes(const Rollout::End& end);
  std::vector<std::string> notes() const;
  void forget_notes(const std::string& subject);
  void check_pusher(const Group& group, control::GatewayVerb verb, const control::Peer& peer);
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
  Bus bus_{context_, config_.daemon.bus};
  GatewayLinks links_{log_};
  GatewayAsks asks_{io_, log_};
  Pushers pushers_{log_};
  // Before the archive and the groups: where another daemon has the socket, nothing is touched.
  std::unique_ptr<control::Server> control_;
  Archive archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<std::string> notes_;         // each begins with the group that it is about
  std::vector<std::string> folder_notes_;  // those of notes_ that are about the plugin folder
  std::set<std::string> told_of_tls_;      // what is amiss with certificates and stands in the log
  std::string state_note_;                 // the state directory cannot be written
  std::string record_note_;                // what the history does not tell
  boost::asio::thread_pool files_{1};
  CrashAnalysis analysis_;
  std::unique_ptr<Rollouts> rollouts_;
  std::unique_ptr<DropDirectory> folder_;
  std::unique_ptr<TlsRenewal> renewal_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  bool up_ = false;
  bool stopping_ = false;
};

}  // namespace appserver::supervisor

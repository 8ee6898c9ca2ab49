// The process over which workers publish and keep keys: started when the first worker asks for it,
// restarted when it ends or hangs, told to end after the workers.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "control/api.hpp"
#include "supervisor/health.hpp"
#include "supervisor/restart_policy.hpp"
#include "supervisor/worker_process.hpp"

namespace appserver::supervisor {

class Bus final {
 public:
  static constexpr std::chrono::seconds kPatience{5};
  // Without a turn of its loop, which holds nothing that takes long.
  static constexpr milliseconds kHangTimeout{5'000};
  // For the core dump of one that hangs.
  static constexpr milliseconds kAbortPatience{2'000};

  Bus(const SpawnContext& context, config::Bus config);
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;
  ~Bus();

  // Gives the worker a connection, perhaps only once the bus may start again. `given`: those that
  // it has got; one that is on its way to it is enough. What it asks more often than a worker would
  // is not answered.
  void connect(const std::shared_ptr<WorkerProcess>& worker, std::uint64_t given);
  // Nothing before a worker has asked for it.
  std::optional<control::BusStatus> status() const;
  // `stopped` is called later, once; the process is gone then.
  void stop(std::function<void()> stopped);

 private:
  struct Asked {
    std::weak_ptr<WorkerProcess> worker;
    Time when;
  };

  void start();
  void watch_heartbeat();
  void check_heartbeat();
  void serve();
  void join(WorkerProcess& worker);
  void on_message(const channel::Message& message);
  void ended(const WorkerEnd& end);
  void restart_later();
  struct Member {
    std::weak_ptr<WorkerProcess> worker;
    std::uint64_t given;  // connections
  };
  Member& member(const std::shared_ptr<WorkerProcess>& worker);
  bool asks_too_often(const std::shared_ptr<WorkerProcess>& worker);

  const SpawnContext& context_;
  config::Bus config_;
  RestartPolicy policy_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer health_timer_;
  OwnStall own_stall_;
  std::minstd_rand random_;
  std::shared_ptr<WorkerProcess> process_;
  std::vector<Asked> asked_;                           // a while ago at most
  std::vector<std::weak_ptr<WorkerProcess>> waiting_;  // each that lives once
  std::vector<Member> members_;                        // alike
  std::optional<Time> aborted_;                        // this process, for it hung
  std::string hung_;                                   // how; empty: it did not
  std::uint64_t starts_ = 0;
  std::optional<std::string> last_exit_;
  std::function<void()> stopped_;
  bool may_start_ = true;
};

}  // namespace appserver::supervisor

// The process over which workers publish and keep keys: started when the first worker asks for it,
// restarted when it ends, told to end after the workers.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "supervisor/restart_policy.hpp"
#include "supervisor/worker_process.hpp"

namespace appserver::supervisor {

class Bus final {
 public:
  static constexpr std::size_t kMemory = std::size_t{64} << 20;
  static constexpr std::chrono::seconds kPatience{5};

  explicit Bus(const SpawnContext& context);
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;
  ~Bus();

  // Gives the worker a connection, perhaps only once the bus may start again. What it asks more
  // often than a worker would is not answered.
  void connect(const std::shared_ptr<WorkerProcess>& worker);
  // `stopped` is called later, once; the process is gone then.
  void stop(std::function<void()> stopped);

 private:
  struct Asked {
    std::weak_ptr<WorkerProcess> worker;
    Time when;
  };

  void start();
  void serve();
  void join(WorkerProcess& worker);
  void on_message(const channel::Message& message);
  void ended(const WorkerEnd& end);
  void restart_later();
  bool asks_too_often(const std::shared_ptr<WorkerProcess>& worker);

  const SpawnContext& context_;
  RestartPolicy policy_;
  boost::asio::steady_timer timer_;
  std::minstd_rand random_;
  std::shared_ptr<WorkerProcess> process_;
  std::vector<Asked> asked_;  // a while ago at most
  std::vector<std::weak_ptr<WorkerProcess>> waiting_;
  std::function<void()> stopped_;
  bool may_start_ = true;
};

}  // namespace appserver::supervisor

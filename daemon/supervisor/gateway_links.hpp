// Links each worker of a gateway group to each worker of its business groups, by a pair of sockets
// that nobody else can reach.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/worker_process.hpp"

namespace appserver::supervisor {

class GatewayLinks final {
 public:
  explicit GatewayLinks(telemetry::Log& log) : log_(log) {}
  GatewayLinks(const GatewayLinks&) = delete;
  GatewayLinks& operator=(const GatewayLinks&) = delete;

  // A worker has started: it is linked to all others that live and have. What is neither of a
  // gateway nor of a business group is left alone, and so is one that says it again.
  void started(const std::shared_ptr<WorkerProcess>& worker);
  // Those of a gateway group that have started and live.
  std::vector<std::shared_ptr<WorkerProcess>> workers_of(const std::string& gateway) const;
  // A business worker has lost a link that it was given: it gets another one, if the gateway worker
  // lives and the link is kLeastLife old. What is not its own is not looked at.
  void want(const std::shared_ptr<WorkerProcess>& worker, std::uint64_t number);

  static constexpr std::chrono::milliseconds kLeastLife{100};

 private:
  struct Member {
    std::string gateway;  // the name of the gateway group
    bool is_gateway;
    std::weak_ptr<WorkerProcess> worker;
  };

  struct Made {
    std::weak_ptr<WorkerProcess> gateway;
    std::weak_ptr<WorkerProcess> business;
    std::chrono::steady_clock::time_point when;
  };

  void link(const std::shared_ptr<WorkerProcess>& gateway,
            const std::shared_ptr<WorkerProcess>& business);

  telemetry::Log& log_;
  std::vector<Member> members_;         // each that lives once
  std::map<std::uint64_t, Made> made_;  // of those that live, by number
  std::uint64_t last_ = 0;
};

}  // namespace appserver::supervisor

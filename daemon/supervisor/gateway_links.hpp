// Links each worker of a gateway group to each worker of its business groups, by a pair of sockets
// that nobody else can reach.
#pragma once

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

 private:
  struct Member {
    std::string gateway;  // the name of the gateway group
    bool is_gateway;
    std::weak_ptr<WorkerProcess> worker;
  };

  void link(WorkerProcess& one, WorkerProcess& other);

  telemetry::Log& log_;
  std::vector<Member> members_;  // each that lives once
};

}  // namespace appserver::supervisor

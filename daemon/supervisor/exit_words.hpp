// Why a worker's process ended, in words for an operator.
#pragma once

#include <string>
#include <vector>

#include "os/process.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::supervisor {

struct WorkerEnd {
  os::ExitStatus status;
  bool said_stopped = false;                     // it ended as a worker should
  std::string failure;                           // what it said of its failure to start
  std::string last_output;                       // the last line it wrote to stdout or stderr
  std::vector<std::string> output;               // its last lines there, oldest first
  telemetry::Hook hook = telemetry::Hook::none;  // where in the plugin it was
};

// "SIGSEGV in on_request, build 7be2d44" · "on_worker_start: prices.db: not found" · "exited with
// status 0 in on_worker_start".
std::string describe_end(const WorkerEnd& end, const std::string& build);

// "; it is in on_save_state", of one that is alive; empty outside the plugin.
std::string where_it_is(const telemetry::WorkerPage& page);

}  // namespace appserver::supervisor

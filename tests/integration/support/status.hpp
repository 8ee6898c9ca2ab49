// What `appserverctl status --json` says, typed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/endpoint.hpp"

namespace appserver::integration {

struct WorkerStatus {
  std::int64_t slot = -1;
  pid_t pid = 0;  // 0: none runs
  std::string state;
  std::int64_t generation = 0;
  std::string build;
  std::int64_t requests = 0;
  std::int64_t in_flight = 0;
  std::int64_t connections = 0;
  std::int64_t rss_bytes = 0;
  std::int64_t restarts = 0;
  std::string last_exit;
};

struct GroupStatus {
  std::string name;
  bool reloadable = true;
  std::vector<Endpoint> listen;
  std::int64_t count = 0;
  std::int64_t ready = 0;
  std::string state;
  std::int64_t restarts = 0;
  bool reloading = false;
  std::int64_t release = 0;
  std::string build;  // sha256; empty while it is not known
  std::int64_t recycled = 0;
  std::vector<WorkerStatus> workers;

  // By slot; without slots that have no process, and without workers that drain beside their
  // successor.
  std::vector<pid_t> pids() const;
};

// Of the rollout that is not over; without one its state is empty.
struct RolloutStatus {
  std::string id;
  std::string state;
  std::int64_t release = 0;
  std::string text;
  bool queued = false;
};

struct Status {
  std::string version;
  pid_t pid = 0;
  std::string state;
  std::int64_t release = 0;
  RolloutStatus rollout;
  std::vector<std::string> notes;
  std::vector<GroupStatus> groups;
  std::string text;  // the JSON it was read from

  const GroupStatus& group(const std::string& name) const;  // throws std::runtime_error
  bool all_ready() const;
};

// Throws std::runtime_error where a documented field is missing or of another type.
Status parse_status(std::string_view json);

}  // namespace appserver::integration

// Who may send to the clients of a gateway without operating the daemon.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "supervisor/release.hpp"
#include "telemetry/log.hpp"

namespace appserver::supervisor {

class Pushers final {
 public:
  explicit Pushers(telemetry::Log& log) : log_(log) {}
  Pushers(const Pushers&) = delete;
  Pushers& operator=(const Pushers&) = delete;

  // Whether the configuration of this gateway names the user. Names are looked up once for each
  // release of the group; one that is nobody's is told of, and lets nobody in.
  bool may_push(const GroupReleasePtr& gateway, uid_t user);

 private:
  struct Known {
    std::weak_ptr<const GroupRelease> release;
    std::set<uid_t> users;
  };

  telemetry::Log& log_;
  std::map<std::string, Known> known_;  // by the gateway's name
};

}  // namespace appserver::supervisor

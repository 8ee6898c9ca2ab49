#include "supervisor/pushers.hpp"

#include <exception>

#include "os/privileges.hpp"

namespace appserver::supervisor {

bool Pushers::may_push(const GroupReleasePtr& gateway, uid_t user) {
  Known& known = known_[gateway->config.name];
  if (known.release.lock() != gateway) {
    known = {gateway, {}};
    for (const std::string& name : gateway->config.gateway.may_push) {
      try {
        known.users.insert(os::find_identity(name, "").uid);
      } catch (const std::exception& error) {
        log_.warning("{}: may_push: {}", gateway->config.name, error.what());
      }
    }
  }
  return known.users.contains(user);
}

}  // namespace appserver::supervisor

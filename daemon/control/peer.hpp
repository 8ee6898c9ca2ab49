// Who is at the other end of a unix socket.
#pragma once

#include <sys/types.h>

namespace appserver::control {

struct Credentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;  // 0 where the peer lives in a pid namespace that we cannot see
};

// SO_PEERCRED: of the process that connected, or that listened, at the time it did. Throws
// os::SystemError.
Credentials peer_credentials(int fd);

}  // namespace appserver::control

#include "control/peer.hpp"

#include <sys/socket.h>

#include "os/error.hpp"

namespace appserver::control {

Credentials peer_credentials(int fd) {
  ::ucred peer{};
  ::socklen_t size = sizeof(peer);
  os::check(::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size), "getsockopt({}, SO_PEERCRED)",
            fd);
  return {.uid = peer.uid, .gid = peer.gid, .pid = peer.pid};
}

}  // namespace appserver::control

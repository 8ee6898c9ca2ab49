// The proxy plugin as a tunnel to a peer.
#pragma once

#include <fcntl.h>

#include <string>

#include "os/fd.hpp"
#include "support/daemon.hpp"
#include "support/endpoint.hpp"
#include "support/peer.hpp"
#include "support/site.hpp"

namespace appserver::integration {

// Its group is "api", with one worker. `more` are further lines of the group, each indented by
// four.
struct Tunnel {
  explicit Tunnel(const std::string& upstream, const std::string& more = {})
      : site(groups(upstream, more)), daemon(prepared(site)) {}

  // For calls that block, but not for ever.
  os::Fd connect() const {
    int error = 0;
    os::Fd socket = begin_connect(daemon.address(), error);
    const int flags = ::fcntl(socket.get(), F_GETFL);
    ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK);
    be_patient(socket);
    return socket;
  }

  Site site;
  Daemon daemon;

 private:
  static std::string groups(const std::string& upstream, const std::string& more) {
    return "groups:\n  api:\n    plugin: proxy\n    count: 1\n    listen: 'tcp://127.0.0.1:0'\n"
           "    settings: {upstream: '" +
           upstream + "'}\n    limits: {send_buffer: 64KiB}\n" + more;
  }
  static const Site& prepared(Site& site) {
    site.install(shipped_plugin("proxy"), "proxy");
    return site;
  }
};

}  // namespace appserver::integration

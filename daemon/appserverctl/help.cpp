#include "appserverctl/verbs.hpp"

namespace appserver::appserverctl {

namespace {

constexpr const char* kHelp = R"(appserverctl [OPTIONS] VERB

  status [GROUP]       the daemon, its groups and their workers
  reload [GROUP...]    new code and configuration, worker by worker, without a failed request
  restart GROUP        new workers for one group, also for one that is not reloadable
  stop                 ends the daemon and returns when it is gone
  check FILE           reads a configuration and says everything that is wrong with it
  version              of this program and of the daemon
  help                 this

Options
  --socket PATH        the daemon's control socket
  --config FILE        the daemon that runs with this file (its daemon.control.socket)
  --json               status, reload, restart, version: JSON, one object a line
  --timeout TIME       give up waiting after 500ms, 30s, 5m; what was asked for goes on
  --force              reload: also the named groups with reloadable: false
  --fast               stop: do not wait for requests in flight

Without --socket and --config: $APPSERVER_SOCKET, else run/appserverd.sock if there is one, else
/run/appserverd/appserverd.sock.

Exit codes
  0 done   1 failed   2 usage   3 refused in preflight, nothing touched   4 rolled back
  5 partial, needs a person   6 another one runs   7 --timeout hit, it goes on   8 no daemon
)";

}  // namespace

int show_help(const Options&, const Console& console) {
  console.out << kHelp;
  return kDone;
}

}  // namespace appserver::appserverctl

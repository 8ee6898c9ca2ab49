#include "appserverctl/verbs.hpp"

namespace appserver::appserverctl {

namespace {

constexpr const char* kHelp = R"(appserverctl [OPTIONS] VERB

  status [GROUP]       the daemon, its groups and their workers
  reload [GROUP...]    new code and configuration, worker by worker, without a failed request
  reload status        the rollout that runs, or else the last one
  reload watch         follows it, with the output and the exit code that it has for its caller
  reload abort         the rollout that runs goes back
  reload continue      a canary that waits for a person goes on
  reload confirm       the release stays, which would go back after --confirm-within
  rollback [GROUP]     the release before comes back, or that of --to
  history              the releases: when, by whom, what, and what became of them
  restart GROUP        new workers for one group, also for one that is not reloadable
  scale GROUP N        the group gets or keeps so many workers
  drain GROUP/SLOT     a fresh worker takes the slot over, and the one that is there ends
  crashes              the workers that ended without having been told to
  crashes show [N]     all that is known of one of them, or of the last
  gateway send TEXT    a message to clients of a gateway; TEXT -: what comes on standard input
  gateway close [REASON] | destroy | bind-uid UID | unbind-uid | join-group NAME |
          leave-group NAME | ungroup NAME | set-session TEXT
                       what business code can do with them
  gateway count | clients | session | uids | groups
                       asks of them
  stop                 ends the daemon and returns when it is gone
  check FILE           says everything that is wrong with a configuration, or with a plugin (.so)
  version              of this program and of the daemon
  help                 this

Options
  --socket PATH        the daemon's control socket
  --config FILE        the daemon that runs with this file (its daemon.control.socket)
  --json               JSON, one object a line; not with stop and check
  --timeout TIME       give up waiting after 500ms, 30s, 5m; what was asked for goes on
  --no-wait            reload: return as soon as the daemon has begun
  --force              reload: also the named groups with reloadable: false
  --changed            reload: only groups whose build or settings have changed
  --dry-run            reload, rollback: check everything and print the plan, touch nothing
  --canary N           reload: N workers of each group first, and compare them with the others
  --hold TIME          reload: for so long; with --canary, or a canary in the configuration
  --confirm-within TIME
                       reload: goes back unless `reload confirm` comes within this time
  --to N               rollback: to this release
  --fast               stop: do not wait for requests in flight
  --gateway NAME       gateway: the group that holds the clients
  --all                gateway: all clients of it; what asks is about all where nobody is named
  --client ID, --uid UID, --group NAME
                       gateway: these clients, by one of the three; may be repeated
  --except ID          gateway send: not to this client; may be repeated
  --binary             gateway send: bytes, not a text
  --code N             gateway close: for WebSockets, 1000 or 4000 to 4999
  --sessions           gateway clients: with their sessions
  --expected N         gateway set-session: only if the session has this version

While a rollout is followed, Ctrl-C leaves it to the daemon, where it goes on.
Without --socket and --config: $APPSERVER_SOCKET, else run/appserverd.sock if there is one, else
/run/appserverd/appserverd.sock.

Exit codes
  0 done   1 failed   2 usage   3 refused in preflight, nothing touched   4 rolled back
  5 partial, needs a person   6 another one runs   7 left before its end, it goes on   8 no daemon
)";

}  // namespace

int show_help(const Options&, const Console& console) {
  console.out << kHelp;
  return kDone;
}

}  // namespace appserver::appserverctl

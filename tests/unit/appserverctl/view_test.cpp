#include <catch2/catch.hpp>
#include <cstdlib>
#include <ctime>

#include "appserverctl/event_view.hpp"
#include "appserverctl/record_view.hpp"
#include "appserverctl/rollout_view.hpp"
#include "appserverctl/status_view.hpp"
#include "fake_daemon.hpp"

using namespace appserver;
using namespace appserver::appserverctl;
using control::EventKind;
using control::RolloutEvent;
using control::RolloutResult;

namespace {

class UtcZone {
 public:
  UtcZone() {
    REQUIRE(::setenv("TZ", "UTC", 1) == 0);
    ::tzset();
  }
  ~UtcZone() {
    ::unsetenv("TZ");
    ::tzset();
  }
  UtcZone(const UtcZone&) = delete;
  UtcZone& operator=(const UtcZone&) = delete;
};

}  // namespace

TEST_CASE("a status is a line for the daemon and tables of groups and workers") {
  control::Status status = control::sample_status();
  status.daemon.pid = 812;
  status.groups[0].release = 42;
  status.groups[0].tls.reset();
  REQUIRE(
      print_status(status) ==
      "appserverd 1.2.3  pid 812  up 12d04h  config /etc/app.yaml  socket /run/x.sock  state "
      "running  release 42\n"
      "\n"
      "GROUP    LISTEN                 WORKERS  READY  BUILD                REL  RELOAD   REQS  "
      "CONN   RSS  RESTARTS  STATE\n"
      "hello    http://127.0.0.1:8080        2      1  hello 1.0.0 7be2d44   42  yes     12.4M     "
      "2  141M         5  crash-loop\n"
      "gateway  -                            0      0  -                      -  no          0     "
      "0    0B         0  starting\n"
      "\n"
      "SLOT     PID  STATE       BUILD    GEN     UP   REQS  INFLIGHT  CONN   RSS  RESTARTS  LAST "
      "EXIT\n"
      "hello/0  123  ready       7be2d44   41  3d02h  12.4M         3     2  141M         0  -\n"
      "hello/1    -  crash-loop  7be2d44   40      -      -         -     -     -         5  "
      "SIGSEGV in on_request, "
      "build 7be2d44, next try in 8.5s, slot 0 accepts for it\n"
      "\n"
      "! hello/1 began without the state of the worker before it: on_save_state: the disk is "
      "full\n");
}

TEST_CASE("a status tells of the rollout under way, and of what a person should know") {
  control::Status status = control::sample_status();
  status.groups.clear();
  status.daemon = {.version = "1.2.3", .pid = 812, .control_socket = "/run/x.sock"};
  status.rollout = control::sample_rollout();
  status.notes = {"a newer hello.so is not loaded: `appserverctl reload`", "bell\a"};
  REQUIRE(print_status(status) ==
          "appserverd 1.2.3  pid 812  up 0s  without a config file  socket /run/x.sock  state "
          "starting\n"
          "rollout r-12 holding, 1/4 slots, 12s left: the canary hello/0 is watched\n"
          "\n"
          "! a newer hello.so is not loaded: `appserverctl reload`\n"
          "! bell\\x07\n");
}

TEST_CASE("a status has a line for the certificates of a group, and one for its datagrams") {
  control::Status status = control::sample_status();
  REQUIRE_THAT(print_status(status),
               Catch::Contains("\ntls  hello  /etc/a.pem kept  /etc/b.pem not-served  /etc/a.pem "
                               "until 2030-01-31T12:00:00Z, of 2 the first  handshakes 1200  "
                               "failed 3\n"));
  REQUIRE_THAT(print_status(status), !Catch::Contains("udp  "));
  status.groups[0].listen.emplace_back("udp://127.0.0.1:5300");
  REQUIRE_THAT(print_status(status),
               Catch::Contains("\nudp  hello  received 70  sent 60  dropped 5\n"));
}

TEST_CASE("a status has a line for the bus once there is one") {
  control::Status status;
  status.daemon = {.version = "1.2.3", .pid = 812, .control_socket = "/run/x.sock"};
  REQUIRE_THAT(print_status(status), !Catch::Contains("bus"));
  status.bus = control::BusStatus{813, 5 << 20, 64 << 20, 3, 2, 8, 1000, 5};
  REQUIRE_THAT(
      print_status(status),
      Catch::EndsWith("\nbus  pid 813  memory 5.0M/64M  keys 3  topics 2  subscriptions 8  "
                      "messages 1000  dropped 5  restarts 0\n"));
  status.bus = control::BusStatus{.memory_limit_bytes = 64 << 20, .restarts = 2};
  status.bus->last_exit = "SIGKILL";
  REQUIRE_THAT(print_status(status), Catch::Contains("bus  waits to be restarted  memory 0B/64M"));
  REQUIRE_THAT(print_status(status), Catch::EndsWith("restarts 2  last exit: SIGKILL\n"));
}

TEST_CASE("a worker that hangs is called so") {
  control::Status status = control::sample_status();
  status.groups[0].workers[0].state = control::WorkerState::hung;
  REQUIRE_THAT(print_status(status), Catch::Contains("hello/0  123  hung "));
}

TEST_CASE("a rollout's state says who asked, how far it is and what a person can do") {
  control::RolloutStatus rollout = control::sample_rollout();
  REQUIRE(print_rollout(rollout) ==
          "rollout r-12 holding, 1/4 slots, 12s left: the canary hello/0 is watched\n"
          "asked for by ada (uid 1000): hello 7be2d44 -> c81f0e2\n"
          "release 43, 18.2s so far\n"
          "follow it with `appserverctl reload watch`, end it with `appserverctl reload abort`\n");
  rollout.state = control::RolloutState::waiting;
  rollout.left.reset();
  rollout.queued = true;
  REQUIRE_THAT(
      print_rollout(rollout),
      Catch::StartsWith("rollout r-12 waiting, 1/4 slots, another one waits: the canary") &&
          Catch::EndsWith("`appserverctl reload continue` or `appserverctl reload abort`\n"));
  rollout.state = control::RolloutState::confirming;
  REQUIRE_THAT(print_rollout(rollout), Catch::Contains("`appserverctl reload confirm`"));
  rollout = {.id = "r-13", .state = control::RolloutState::over, .who = "watcher", .what = "x\x1b"};
  rollout.result = RolloutResult::rolled_back;
  rollout.text = "hello/0 did not start";
  REQUIRE(print_rollout(rollout) ==
          "rollout r-13 over: ROLLED BACK, the old build serves: hello/0 did not start\n"
          "asked for by watcher: x\\x1b\n"
          "took 0.0s\n");
}

TEST_CASE("a rollout's state offers no abort that would not work") {
  control::RolloutStatus rollout = control::sample_rollout();
  rollout.can_abort = false;
  for (const auto state : {control::RolloutState::preparing, control::RolloutState::rolling,
                           control::RolloutState::holding, control::RolloutState::waiting,
                           control::RolloutState::reverting, control::RolloutState::confirming}) {
    rollout.state = state;
    REQUIRE_THAT(print_rollout(rollout), Catch::Contains("appserverctl reload "));
    REQUIRE_THAT(print_rollout(rollout), !Catch::Contains("reload abort"));
  }
  rollout.state = control::RolloutState::rolling;
  REQUIRE_THAT(
      print_rollout(rollout),
      Catch::EndsWith("follow it with `appserverctl reload watch`; it cannot be aborted now\n"));
}

TEST_CASE("the history is a table, newest first, with the release in force marked") {
  const UtcZone utc;
  REQUIRE(print_history(control::sample_history()) ==
          "REL  WHEN              BY              WHAT                       TOOK  BACK  RESULT\n"
          " 43  2026-11-22 14:03  ada (uid 1000)  hello 7be2d44 -> c81f0e2   0.4s  no    rolled "
          "back: hello/0 did not start\n"
          " 42  2026-11-21 13:03  watcher         hello 51c0aa9 -> 7be2d44  21.4s  -     committed "
          " <- current\n"
          " 41  2026-11-21 13:03  start           hello 51c0aa9             21.4s  yes   "
          "committed\n");
  REQUIRE(print_history({}) == "there is no release yet\n");
}

TEST_CASE("times are shown in the zone of who looks") {
  REQUIRE(::setenv("TZ", "XYZ-5:30", 1) == 0);
  ::tzset();
  const std::string history = print_history(control::sample_history());
  const UtcZone utc;
  REQUIRE_THAT(history, Catch::Contains("2026-11-22 19:33"));
}

TEST_CASE("crashes are a table, and each can be read in full") {
  const UtcZone utc;
  REQUIRE(print_crashes({control::sample_crash()}) ==
          " N  WHEN                 SLOT      PID  REASON                                BUILD    "
          "   UP\n"
          "18  2026-11-22 14:03:07  hello/1  4711  SIGSEGV in on_request, build 7be2d44  7be2d44  "
          "4m12s\n");
  REQUIRE(print_crashes({}) == "no crash is on record\n");
  REQUIRE(print_crash(control::sample_crash()) ==
          "crash 18 of hello/1 at 2026-11-22 14:03:07\n"
          "  reason     SIGSEGV in on_request, build 7be2d44\n"
          "  signal     SIGSEGV\n"
          "  address    0x10\n"
          "  hook       on_request\n"
          "  core       dumped\n"
          "  plugin     hello 1.0.0\n"
          "  sha256     7be2d44aa0010203\n"
          "  build id   c0ffee\n"
          "  release    41\n"
          "  generation 40\n"
          "  pid        4711\n"
          "  up         4m12s\n"
          "  requests   1204\n"
          "stack, innermost first\n"
          "  hello.so+0x12a0 shop::price(int)\n"
          "  hello.so+0x1180 shop::answer()\n"
          "its last output\n"
          "  the price is \\x1b[2J\n"
          "  gone\n");
}

TEST_CASE("each step of a rollout is a line with the time since its start") {
  RolloutEvent event{.kind = EventKind::slot_ready, .group = "hello", .build = "7be2d44aa001"};
  event.slot = 0;
  event.pid = 123;
  event.elapsed = std::chrono::milliseconds(310);
  REQUIRE(print_event(event) == "+0.31s hello/0 ready pid 123 build 7be2d44");
  event.kind = EventKind::slot_replaced;
  event.old_pid = 100;
  event.build.clear();
  event.handed_over = 64;
  event.cut = 0;
  REQUIRE(print_event(event) == "+0.31s hello/0 replaced pid 100 -> 123 handed over 64 cut 0");
  RolloutEvent failed{
      .kind = EventKind::slot_failed, .group = "hello", .text = "exit 1: no db\x1b[2J"};
  failed.slot = 1;
  REQUIRE(print_event(failed) == "+0.00s hello/1 FAILED: exit 1: no db\\x1b[2J");
  REQUIRE(
      print_event({.kind = EventKind::group_kept, .group = "gw", .text = "reloadable: false"}) ==
      "+0.00s gw kept: reloadable: false");
  REQUIRE(print_event({.text = "hello there"}) == "+0.00s hello there");
  REQUIRE(print_event({.kind = EventKind::plan, .group = "hello", .text = "2 workers roll"}) ==
          "+0.00s hello plan: 2 workers roll");
  REQUIRE(print_event({.kind = EventKind::group_added, .group = "cron"}) == "+0.00s cron added");
  REQUIRE(print_event({.kind = EventKind::group_removed, .group = "cron"}) ==
          "+0.00s cron removed");
  REQUIRE(print_event({.kind = EventKind::canary_holding, .group = "hello", .text = "30s"}) ==
          "+0.00s hello canary holding: 30s");
  REQUIRE(print_event({.kind = EventKind::canary_judged, .group = "hello", .text = "good"}) ==
          "+0.00s hello canary judged: good");
}

TEST_CASE("the last line is the verdict") {
  REQUIRE(print_event(control::done_event(RolloutResult::done, "2 workers replaced")) ==
          "done: 2 workers replaced");
  REQUIRE(print_event(control::done_event(RolloutResult::refused, "not an ELF file")) ==
          "REFUSED, nothing was touched: not an ELF file");
  REQUIRE(print_event(control::done_event(RolloutResult::busy, "")) ==
          "FAILED: another reload is running");
}

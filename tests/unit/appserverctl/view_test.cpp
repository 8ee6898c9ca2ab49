#include <catch2/catch.hpp>

#include "appserverctl/event_view.hpp"
#include "appserverctl/status_view.hpp"
#include "fake_daemon.hpp"

using namespace appserver;
using namespace appserver::appserverctl;
using control::EventKind;
using control::RolloutEvent;
using control::RolloutResult;

TEST_CASE("a status is a line for the daemon and tables of groups and workers") {
  control::Status status = control::sample_status();
  status.daemon.pid = 812;
  REQUIRE(
      print_status(status) ==
      "appserverd 1.2.3  pid 812  up 12d04h  config /etc/app.yaml  socket /run/x.sock  state "
      "running\n"
      "\n"
      "GROUP    LISTEN                 WORKERS  READY  BUILD                RELOAD   REQS  CONN   "
      "RSS  RESTARTS  STATE\n"
      "hello    http://127.0.0.1:8080        2      1  hello 1.0.0 7be2d44  yes     12.4M     2  "
      "141M         5  crash-loop\n"
      "gateway  -                            0      0  -                    no          0     0    "
      "0B         0  starting\n"
      "\n"
      "SLOT     PID  STATE       BUILD    GEN     UP   REQS  INFLIGHT  CONN   RSS  RESTARTS  LAST "
      "EXIT\n"
      "hello/0  123  ready       7be2d44   41  3d02h  12.4M         3     2  141M         0  -\n"
      "hello/1    -  crash-loop  7be2d44   40      -      -         -     -     -         5  "
      "SIGSEGV in on_request, "
      "build 7be2d44, next try in 8.5s, slot 0 accepts for it\n");
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
}

TEST_CASE("the last line is the verdict") {
  REQUIRE(print_event(control::done_event(RolloutResult::done, "2 workers replaced")) ==
          "done: 2 workers replaced");
  REQUIRE(print_event(control::done_event(RolloutResult::refused, "not an ELF file")) ==
          "REFUSED, nothing was touched: not an ELF file");
  REQUIRE(print_event(control::done_event(RolloutResult::busy, "")) ==
          "FAILED: another reload is running");
}

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "appserverctl/progress_view.hpp"

using namespace appserver::appserverctl;
using appserver::control::EventKind;
using appserver::control::RolloutEvent;

namespace {

RolloutEvent step(EventKind kind, std::string group, std::uint32_t slots_done, pid_t pid = 4713) {
  RolloutEvent event{.kind = kind, .group = std::move(group)};
  event.slot = 0;
  event.pid = pid;
  event.slots = 4;
  event.slots_done = slots_done;
  return event;
}

}  // namespace

TEST_CASE("a bar is as full as its group is done") {
  REQUIRE(print_bar({"api", 4, 2, "ready pid 4713"}, 0, 80) ==
          "api  [########........] 2/4  ready pid 4713");
  REQUIRE(print_bar({"api", 4, 0, ""}, 7, 80) == "api      [................] 0/4");
  REQUIRE(print_bar({"api", 1024, 1023, ""}, 0, 80) == "api  [###############.] 1023/1024");
  REQUIRE(print_bar({"api", 1024, 1024, ""}, 0, 80) == "api  [################] 1024/1024");
}

TEST_CASE("a bar with impossible numbers is still a bar") {
  REQUIRE(print_bar({"api", 2, 9, ""}, 0, 80) == "api  [################] 2/2");
  REQUIRE(print_bar({"api", 0, 0, ""}, 0, 80) == "api  [................] 0/1");
}

TEST_CASE("a bar is never wider than its terminal, and steers nothing") {
  const Bar bar{"a-group-with-a-long-name", 4, 2, "ready pid 4713 and ü\x1b[2J much more to say"};
  for (std::size_t columns = 0; columns < 100; ++columns) {
    const std::string line = print_bar(bar, 30, columns);
    REQUIRE(line.size() <= columns + 1);  // the ü has two bytes
    REQUIRE(line.find('\x1b') == std::string::npos);
  }
  REQUIRE(print_bar({"api", 4, 2, "ready"}, 0, 40) == "api  [####....] 2/4  ready");
}

TEST_CASE("a step redraws its group's bar in place") {
  ProgressView view(80);
  REQUIRE(view.show(step(EventKind::slot_starting, "api", 0)) ==
          "api  [................] 0/4  starting pid 4713\n");
  REQUIRE(view.show(step(EventKind::slot_ready, "api", 1)) ==
          "\x1b[1A\x1b[Japi  [####............] 1/4  ready pid 4713\n");
}

TEST_CASE("other events are lines above the bars") {
  ProgressView view(80);
  REQUIRE(view.show({.kind = EventKind::rollout_started, .rollout = "r-1"}) ==
          "+0.00s r-1 started\n");
  view.show(step(EventKind::slot_ready, "api", 1));
  REQUIRE(view.show({.kind = EventKind::canary_holding, .group = "api", .text = "30s"}) ==
          "\x1b[1A\x1b[J+0.00s api canary holding: 30s\n"
          "api  [####............] 1/4  ready pid 4713\n");
  RolloutEvent failed = step(EventKind::slot_failed, "api", 1);
  failed.text = "exit 1";
  REQUIRE(view.show(failed) ==
          "\x1b[1A\x1b[J+0.00s api/0 FAILED pid 4713: exit 1\n"
          "api  [####............] 1/4  FAILED pid 4713\n");
}

TEST_CASE("a replacement that cut connections, or whose old worker died, is a line") {
  ProgressView view(80);
  RolloutEvent event = step(EventKind::slot_replaced, "api", 1);
  event.cut = 0;
  REQUIRE(view.show(event) == "api  [####............] 1/4  replaced pid 4713\n");
  event.cut = 2;
  REQUIRE_THAT(view.show(event), Catch::Contains("api/0 replaced pid 4713 cut 2\n"));
  event.cut = 0;
  event.old_pid = 4700;
  event.text = "SIGSEGV";
  REQUIRE_THAT(view.show(event),
               Catch::Contains("api/0 replaced pid 4700 -> 4713 cut 0: SIGSEGV\n"));
}

TEST_CASE("the bar of a group that is done stays, and the next group's comes below") {
  ProgressView view(80);
  view.show(step(EventKind::slot_ready, "api", 3));
  RolloutEvent done{.kind = EventKind::group_done, .group = "api", .text = "4 workers replaced"};
  done.slots_done = 4;
  REQUIRE(view.show(done) ==
          "\x1b[1A\x1b[Japi  [################] 4/4  done: 4 workers replaced\n");
  REQUIRE(view.show(step(EventKind::slot_starting, "admin", 0)) ==
          "admin  [................] 0/4  starting pid 4713\n");
  REQUIRE(view.show(step(EventKind::slot_starting, "api", 0)) ==
          "\x1b[1A\x1b[Jadmin  [................] 0/4  starting pid 4713\n"
          "api    [................] 0/4  starting pid 4713\n");
}

TEST_CASE("more bars than a screen has lines for are not drawn") {
  ProgressView view(80);
  for (int i = 0; i < 8; ++i) view.show(step(EventKind::slot_starting, fmt::format("g{}", i), 0));
  const std::string out = view.show(step(EventKind::slot_starting, "g8", 0));
  REQUIRE_THAT(out, Catch::StartsWith("\x1b[8A\x1b[Jg0  [") && Catch::Contains("\ng8  ["));
  REQUIRE_THAT(view.show(step(EventKind::slot_ready, "g8", 1)),
               Catch::StartsWith("\x1b[8A\x1b[Jg1"));
}

TEST_CASE("a step that does not say how far its group is stays a line") {
  ProgressView view(80);
  RolloutEvent event{.kind = EventKind::slot_ready, .group = "api"};
  event.slot = 0;
  event.pid = 4713;
  REQUIRE(view.show(event) == "+0.00s api/0 ready pid 4713\n");
  REQUIRE(view.show({.kind = EventKind::group_done, .group = "api"}) == "+0.00s api done\n");
}

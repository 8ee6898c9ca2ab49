// The verbs that begin, follow and steer rollouts, and that tell of releases and crashes.
#include <sys/eventfd.h>

#include <catch2/catch.hpp>

#include "ctl.hpp"
#include "os/fd.hpp"

using namespace appserver;
using namespace appserver::appserverctl;
using control::EventKind;
using control::EventStream;
using control::FakeDaemon;
using control::RolloutResult;

namespace {

// A rollout that ends at once.
auto ending(RolloutResult result) {
  return [result](const auto&, const std::shared_ptr<EventStream>& events) {
    events->send({.kind = EventKind::rollout_started, .rollout = "r-1"});
    events->send(control::done_event(result, "because"));
  };
}

control::RolloutEvent ready_event(std::uint32_t done) {
  control::RolloutEvent event{.kind = EventKind::slot_ready, .group = "hello"};
  event.slot = 0;
  event.pid = 4713;
  event.slots = 2;
  event.slots_done = done;
  return event;
}

// Leaves as soon as something was said.
class Departing final : public std::stringbuf {
 public:
  os::Fd gone{::eventfd(0, EFD_CLOEXEC)};

 private:
  int sync() override { return ::eventfd_write(gone.get(), 1); }
};

void on_terminal(Console& console) {
  console.terminal = true;
  console.columns = 60;
}

}  // namespace

TEST_CASE("reload passes on all that was asked for") {
  FakeDaemon daemon;
  control::ReloadRequest asked;
  daemon.commands.on_reload = [&](const auto& request, const auto& events) {
    asked = request;
    events->send(control::done_event(RolloutResult::done));
  };
  REQUIRE(ctl_for(daemon, {"reload", "api", "--changed", "--dry-run", "--canary", "2", "--hold",
                           "30s", "--confirm-within", "5m"})
              .code == 0);
  control::ReloadRequest expected{{"api"}, false, true, true};
  expected.canary = 2;
  expected.hold = std::chrono::seconds(30);
  expected.confirm_within = std::chrono::minutes(5);
  REQUIRE(asked == expected);
}

TEST_CASE("a dry run prints the plan") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [&](const auto&, const auto& events) {
    events->send({.kind = EventKind::plan, .group = "hello", .text = "2 workers, 1 at a time"});
    events->send(control::done_event(RolloutResult::done, "nothing was touched"));
  };
  REQUIRE(ctl_for(daemon, {"reload", "--dry-run"}).out ==
          "+0.00s hello plan: 2 workers, 1 at a time\ndone: nothing was touched\n");
}

TEST_CASE("rollback, scale and drain pass on what was asked for") {
  FakeDaemon daemon;
  control::RollbackRequest rollback;
  control::ScaleRequest scale;
  control::DrainRequest drain;
  const auto take = [](auto& into) {
    return [&into](const auto& request, const std::shared_ptr<EventStream>& events) {
      into = request;
      events->send(control::done_event(RolloutResult::done));
    };
  };
  daemon.commands.on_rollback = take(rollback);
  daemon.commands.on_scale = take(scale);
  daemon.commands.on_drain = take(drain);
  REQUIRE(ctl_for(daemon, {"rollback"}).code == 0);
  REQUIRE(rollback == control::RollbackRequest{});
  REQUIRE(ctl_for(daemon, {"rollback", "hello", "--to", "41", "--dry-run"}).code == 0);
  REQUIRE(rollback == control::RollbackRequest{41, "hello", true});
  REQUIRE(ctl_for(daemon, {"scale", "hello", "4"}).code == 0);
  REQUIRE(scale == control::ScaleRequest{"hello", 4});
  REQUIRE(ctl_for(daemon, {"drain", "hello/3"}).code == 0);
  REQUIRE(drain == control::DrainRequest{"hello", 3});
}

TEST_CASE("every verb that begins a rollout ends with its exit code") {
  const std::vector<std::vector<std::string>> verbs{
      {"rollback"}, {"scale", "hello", "2"}, {"drain", "hello/0"}, {"restart", "hello"}};
  const std::map<RolloutResult, int> codes{
      {RolloutResult::done, 0},        {RolloutResult::failed, 1},  {RolloutResult::refused, 3},
      {RolloutResult::rolled_back, 4}, {RolloutResult::partial, 5}, {RolloutResult::busy, 6},
      {RolloutResult::stopped, 1}};
  for (const auto& [result, code] : codes) {
    FakeDaemon daemon;
    daemon.commands.on_rollback = ending(result);
    daemon.commands.on_scale = ending(result);
    daemon.commands.on_drain = ending(result);
    daemon.commands.on_restart = ending(result);
    for (const auto& verb : verbs) {
      CAPTURE(verb, code);
      const Outcome outcome = ctl_for(daemon, verb);
      REQUIRE(outcome.code == code);
      REQUIRE_THAT(code == 0 ? outcome.out : outcome.err, Catch::EndsWith(": because\n"));
    }
  }
}

TEST_CASE("what does not fit the state of things exits 1 with the way out") {
  FakeDaemon daemon;
  daemon.commands.on_rollback = [](auto&&...) { throw control::Conflict("no release 99"); };
  daemon.commands.on_confirm = []() -> std::string {
    throw control::Conflict("there is nothing to confirm");
  };
  const Outcome rollback = ctl_for(daemon, {"rollback", "--to", "99"});
  REQUIRE(rollback.code == 1);
  REQUIRE(rollback.err ==
          "appserverctl: no release 99; `appserverctl history` lists the releases\n");
  const Outcome confirm = ctl_for(daemon, {"reload", "confirm"});
  REQUIRE(confirm.code == 1);
  REQUIRE(confirm.err ==
          "appserverctl: there is nothing to confirm; `appserverctl reload status` tells of the "
          "last rollout\n");
}

TEST_CASE("reload --no-wait returns 0 once the daemon has begun, and says how to follow it") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const auto&, auto events) {
    events->send({.kind = EventKind::rollout_started, .rollout = "r-1"});
    stream = std::move(events);
  };
  const Outcome outcome = ctl_for(daemon, {"reload", "--no-wait"});
  REQUIRE(outcome.code == 0);
  REQUIRE(outcome.out ==
          "+0.00s r-1 started\n"
          "it goes on in the daemon; `appserverctl reload watch` follows it\n");
  REQUIRE(ctl_for(daemon, {"reload", "--no-wait", "--json"}).out ==
          "{\"event\":\"rollout_started\",\"elapsed_ms\":0,\"rollout\":\"r-1\"}\n");
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("reload --no-wait still tells of a refusal that comes first, with its exit code") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [](const auto&, const auto& events) {
    events->send(control::done_event(RolloutResult::refused, "not an ELF file"));
  };
  const Outcome outcome = ctl_for(daemon, {"reload", "--no-wait"});
  REQUIRE(outcome.code == 3);
  REQUIRE(outcome.err == "REFUSED, nothing was touched: not an ELF file\n");
}

TEST_CASE("reload --no-wait does not take silence for a beginning") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [&](const auto&, const auto&) { daemon.destroy_server_here(); };
  const Outcome outcome = ctl_for(daemon, {"reload", "--no-wait"});
  REQUIRE(outcome.code == 1);
  REQUIRE_THAT(outcome.err, Catch::StartsWith("FAILED: the connection to the daemon was lost"));
}

TEST_CASE("who leaves is told that the rollout goes on, and how to see it again") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const auto&, auto events) {
    events->send({.kind = EventKind::rollout_started, .rollout = "r-1"});
    stream = std::move(events);
  };
  Departing person;
  const Outcome outcome = ctl_for(daemon, {"reload"}, [&](Console& console) {
    console.out.rdbuf(&person);
    console.farewell = [&] { return person.gone.duplicate(); };
  });
  REQUIRE(person.str() == "+0.00s r-1 started\n");
  REQUIRE(outcome.code == 7);
  REQUIRE(outcome.err == "detached; the rollout goes on: appserverctl reload watch\n");
  daemon.on_loop([&] {
    stream->send(control::done_event(RolloutResult::done));
    stream.reset();
  });
}

TEST_CASE("who leaves before the daemon has answered is told that nothing is known") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const auto&, auto events) { stream = std::move(events); };
  const os::Fd gone(::eventfd(1, EFD_CLOEXEC));
  const Outcome outcome = ctl_for(daemon, {"reload"}, [&](Console& console) {
    console.farewell = [&] { return gone.duplicate(); };
  });
  REQUIRE(outcome.code == 7);
  REQUIRE(outcome.err ==
          "detached before the daemon answered; `appserverctl reload status` tells whether a "
          "rollout goes on\n");
  daemon.until([&] { return stream != nullptr; });
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("a terminal gets bars and the verdict, without the lines that they stand for") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [](const auto&, const auto& events) {
    events->send({.kind = EventKind::rollout_started, .rollout = "r-1"});
    events->send(ready_event(1));
    events->send(ready_event(2));
    events->send({.kind = EventKind::group_done, .group = "hello"});
    events->send(control::done_event(RolloutResult::done, "2 workers replaced"));
  };
  REQUIRE(ctl_for(daemon, {"reload"}, on_terminal).out ==
          "+0.00s r-1 started\n"
          "hello  [########........] 1/2  ready pid 4713\n"
          "\x1b[1A\x1b[Jhello  [################] 2/2  ready pid 4713\n"
          "\x1b[1A\x1b[Jhello  [################] 2/2  done\n"
          "done: 2 workers replaced\n");
  REQUIRE(ctl_for(daemon, {"reload"}).out ==
          "+0.00s r-1 started\n"
          "+0.00s hello/0 ready pid 4713\n"
          "+0.00s hello/0 ready pid 4713\n"
          "+0.00s hello done\n"
          "done: 2 workers replaced\n");
  REQUIRE_THAT(ctl_for(daemon, {"reload", "--json"}, on_terminal).out, !Catch::Contains("\x1b"));
}

TEST_CASE(
    "a rollout can be followed again, with the output and exit code that it has for its caller") {
  FakeDaemon daemon;
  daemon.commands.on_watch = [](const auto& events) {
    events->send({.kind = EventKind::rollout_started, .rollout = "r-1"});
    events->send(control::done_event(RolloutResult::rolled_back, "it did not start"));
  };
  const Outcome outcome = ctl_for(daemon, {"reload", "watch"});
  REQUIRE(outcome.code == 4);
  REQUIRE(outcome.out == "+0.00s r-1 started\n");
  REQUIRE(outcome.err == "ROLLED BACK, the old build serves: it did not start\n");
  REQUIRE_THAT(ctl_for(daemon, {"reload", "watch", "--json"}).out,
               Catch::EndsWith("\"result\":\"rolled_back\",\"exit_code\":4}\n"));
}

TEST_CASE("before the first rollout there is none to follow, which is no mystery") {
  FakeDaemon daemon;
  daemon.on_loop([&] { daemon.commands.on_rollout = [] { return std::nullopt; }; });
  const Outcome watch = ctl_for(daemon, {"reload", "watch"});
  REQUIRE(watch.code == 1);
  REQUIRE_THAT(watch.err, Catch::Contains("there was no rollout since the daemon started"));
  const Outcome status = ctl_for(daemon, {"reload", "status"});
  REQUIRE(status.code == 0);
  REQUIRE(status.out == "there was no rollout since the daemon started\n");
  REQUIRE(ctl_for(daemon, {"reload", "status", "--json"}).out == "{\"rollout\":null}\n");
}

TEST_CASE("reload status tells of the rollout") {
  FakeDaemon daemon;
  const Outcome outcome = ctl_for(daemon, {"reload", "status"});
  REQUIRE(outcome.code == 0);
  REQUIRE_THAT(outcome.out, Catch::StartsWith("rollout r-12 holding, 1/4 slots, 12s left: "));
  REQUIRE_THAT(ctl_for(daemon, {"reload", "status", "--json"}).out,
               Catch::StartsWith("{\"rollout\":{\"id\":\"r-12\",\"state\":\"holding\","));
}

TEST_CASE("a rollout is steered by three words, and the daemon says what happens now") {
  FakeDaemon daemon;
  const auto expect = [&](const std::string& word, const std::string& text) {
    const Outcome outcome = ctl_for(daemon, {"reload", word});
    REQUIRE(outcome.code == 0);
    REQUIRE(outcome.out == text + "\n");
    REQUIRE(ctl_for(daemon, {"reload", word, "--json"}).out == "{\"text\":\"" + text + "\"}\n");
  };
  expect("abort", "r-12 goes back");
  expect("continue", "r-12 goes on");
  expect("confirm", "release 43 stays");
}

TEST_CASE("history and crashes come as tables, or as JSON") {
  FakeDaemon daemon;
  const Outcome history = ctl_for(daemon, {"history"});
  REQUIRE(history.code == 0);
  REQUIRE_THAT(history.out, Catch::StartsWith("REL  WHEN") && Catch::Contains("<- current"));
  REQUIRE_THAT(ctl_for(daemon, {"history", "--json"}).out,
               Catch::StartsWith("{\"releases\":[{\"number\":43,"));
  const Outcome crashes = ctl_for(daemon, {"crashes"});
  REQUIRE(crashes.code == 0);
  REQUIRE_THAT(crashes.out, Catch::Contains("hello/1  4711  SIGSEGV"));
  REQUIRE_THAT(ctl_for(daemon, {"crashes", "--json"}).out,
               Catch::StartsWith("{\"crashes\":[{\"number\":18,"));
}

TEST_CASE("one crash is shown in full: the one of a number, or the last") {
  FakeDaemon daemon;
  control::CrashRecord older = control::sample_crash();
  older.number = 17;
  daemon.on_loop([&] { daemon.commands.kept_crashes.push_back(older); });
  const Outcome last = ctl_for(daemon, {"crashes", "show"});
  REQUIRE(last.code == 0);
  REQUIRE_THAT(last.out,
               Catch::StartsWith("crash 18 of hello/1 at ") && Catch::Contains("shop::price(int)"));
  REQUIRE_THAT(ctl_for(daemon, {"crashes", "show", "17"}).out, Catch::StartsWith("crash 17 of "));
  REQUIRE_THAT(ctl_for(daemon, {"crashes", "show", "--json"}).out,
               Catch::StartsWith("{\"number\":18,"));
  const Outcome none = ctl_for(daemon, {"crashes", "show", "3"});
  REQUIRE(none.code == 1);
  REQUIRE(none.err ==
          "appserverctl: there is no record of a crash 3; `appserverctl crashes` lists those that "
          "are kept\n");
  daemon.on_loop([&] { daemon.commands.kept_crashes.clear(); });
  REQUIRE(ctl_for(daemon, {"crashes"}).out == "no crash is on record\n");
  REQUIRE(ctl_for(daemon, {"crashes", "show"}).code == 1);
}

TEST_CASE("without a daemon every one of these verbs exits 8") {
  for (const std::vector<std::string>& verb :
       std::vector<std::vector<std::string>>{{"rollback"},
                                             {"scale", "x", "1"},
                                             {"drain", "x/0"},
                                             {"history"},
                                             {"crashes"},
                                             {"crashes", "show"},
                                             {"reload", "status"},
                                             {"reload", "watch"},
                                             {"reload", "abort"}}) {
    std::vector<std::string> arguments = verb;
    arguments.insert(arguments.end(), {"--socket", "/nowhere/x.sock"});
    CAPTURE(verb);
    REQUIRE(ctl(arguments).code == 8);
  }
}

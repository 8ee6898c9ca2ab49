// Following a rollout: leaving it, coming back to it, ending it, and what a second one is told.
#include <signal.h>

#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

// One slot is replaced, then nothing happens until somebody says so: the canary gets no traffic.
const std::string kHeld = "    reload: {canary: {slots: 1, hold: 100ms, on_inconclusive: wait}}\n";

void wait_until_held(const Daemon& daemon) {
  daemon.wait_for_status("the canary waits",
                         [](const Status& now) { return now.rollout.state == "waiting"; });
}

void require_answers(const Daemon& daemon, const std::string& body) {
  REQUIRE(daemon.status().all_ready());
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == body);
}

void require_end(Process& process, int code) {
  const auto exit = process.wait(60s);
  INFO(process.out() << process.err());
  REQUIRE(exit == Exit{code, 0});
}

}  // namespace

TEST_CASE("a reload left alone goes on, and reload watch tells how it ended, then and later") {
  const bool goes_on = GENERATE(true, false);
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  if (!goes_on) daemon.expect_error("rollout");
  const int verdict = goes_on ? kDone : kRolledBack;
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "--no-wait"}), kDone, "reload watch");
  wait_until_held(daemon);
  Process watch = daemon.begin_ctl({"reload", "watch", "--json"});
  const auto status = daemon.ctl({"reload", "status"});
  require_exit(status, kDone, "rollout r-1 waiting, 1/2 slots");
  REQUIRE(says(status, "`appserverctl reload abort`"));
  require_exit(daemon.ctl({"reload", goes_on ? "continue" : "abort"}), kDone);
  require_end(watch, verdict);
  REQUIRE(events_of(watch.out()).back().exit_code == verdict);
  // From its beginning, as its caller would have seen it.
  REQUIRE(events_of(watch.out()).front().kind == "rollout_started");

  const auto later = daemon.ctl({"reload", "watch", "--json"});
  require_exit(later, verdict);
  REQUIRE(later.out == watch.out());
  require_exit(daemon.ctl({"reload", "status"}), kDone, "rollout r-1 over");
  require_answers(daemon, goes_on ? "v2\n" : "v1\n");
}

TEST_CASE("Ctrl-C leaves a reload to the daemon") {
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload"});
  wait_until_held(daemon);
  reload.signal(SIGINT);
  require_end(reload, kGoesOn);
  REQUIRE(reload.err().find("reload watch") != std::string::npos);
  REQUIRE(daemon.status().rollout.state == "waiting");
  Process watch = daemon.begin_ctl({"reload", "watch"});
  require_exit(daemon.ctl({"reload", "continue"}), kDone);
  require_end(watch, kDone);
  require_answers(daemon, "v2\n");
}

TEST_CASE("a follower that is killed changes nothing for the reload") {
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload"});
  wait_until_held(daemon);
  reload.signal(SIGKILL);
  REQUIRE(reload.wait(10s).has_value());
  require_exit(daemon.ctl({"reload", "continue"}), kDone);
  require_exit(daemon.ctl({"reload", "watch"}), kDone);
  require_answers(daemon, "v2\n");
}

TEST_CASE("the option --timeout gives up waiting, also for reload watch, and the reload goes on") {
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "--timeout", "500ms"}), kGoesOn, "reload watch");
  wait_until_held(daemon);
  require_exit(daemon.ctl({"reload", "watch", "--timeout", "200ms"}), kGoesOn, "reload watch");
  require_exit(daemon.ctl({"reload", "continue"}), kDone);
  require_exit(daemon.ctl({"reload", "watch"}), kDone);
  require_answers(daemon, "v2\n");
}

TEST_CASE("reload abort in the middle brings back what was replaced and leaves the rest alone") {
  Site site(probe_group(3, kHeld));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto before = daemon.pids();
  const auto release = daemon.status().release;
  Load load(daemon.address(), {2, 0, 0, 2, 0, 200ms, 100ms, "/"});
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload"});
  wait_until_held(daemon);
  require_exit(daemon.ctl({"reload", "abort"}), kDone, "goes back");
  require_end(reload, kRolledBack);
  REQUIRE(reload.err().find("aborted by") != std::string::npos);
  const auto after = daemon.pids();
  REQUIRE(after.size() == 3);
  REQUIRE(after.at(1) == before.at(1));
  REQUIRE(after.at(2) == before.at(2));
  REQUIRE(daemon.status().release == release);
  require_answers(daemon, "v1\n");
  require_unnoticed(load);
  require_exit(daemon.ctl({"reload", "abort"}), kFailed, "no rollout is running");
}

TEST_CASE("a second reload waits its turn, one like it joins, and any other is told to come back") {
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  site.install(probe_v2());
  Process first = daemon.begin_ctl({"reload", "--json"});
  wait_until_held(daemon);
  Process second = daemon.begin_ctl({"rollback", "--dry-run", "--json"});
  daemon.wait_for_status("another one waits", [](const Status& now) { return now.rollout.queued; });
  Process third = daemon.begin_ctl({"rollback", "--dry-run", "--json"});
  require_exit(daemon.ctl({"reload", "--changed"}), kBusy, "r-1 runs and another one waits");
  const auto busy = daemon.ctl({"reload", "--changed", "--json"});
  require_exit(busy, kBusy);
  REQUIRE(events_of(busy.out).back().rollout == "r-1");
  const auto drain = daemon.ctl({"drain", "api/0", "--json"});
  require_exit(drain, kBusy, "try again when r-1 is over");
  REQUIRE(events_of(drain.out).back().rollout == "r-1");
  REQUIRE(first.running());
  REQUIRE(second.running());
  REQUIRE(third.running());
  require_exit(daemon.ctl({"reload", "continue"}), kDone);
  require_end(first, kDone);
  // There is the release that the first one made to come back from.
  require_end(second, kDone);
  require_end(third, kDone);
  REQUIRE(events_of(second.out()).front().kind == "message");
  REQUIRE(events_of(second.out()).front().rollout == "r-1");
  REQUIRE(events_of(first.out()).back().rollout == "r-1");
  REQUIRE(events_of(second.out()).back().rollout == "r-2");
  REQUIRE(events_of(third.out()).back().rollout == "r-2");
  require_answers(daemon, "v2\n");
}

TEST_CASE("a reload that waited its turn takes the file as it lies there when it begins") {
  Site site(probe_group(2, "    reload: {canary: {slots: 1, hold: 60s}}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  Process first = daemon.begin_ctl({"reload"});
  daemon.wait_for_status("the canary is watched",
                         [](const Status& now) { return now.rollout.state == "holding"; });
  Process second = daemon.begin_ctl({"reload", "--changed"});
  daemon.wait_for_status("another one waits", [](const Status& now) { return now.rollout.queued; });
  site.install(probe_v2());
  site.configure(probe_group(2));
  require_exit(daemon.ctl({"reload", "abort"}), kDone);
  require_end(first, kRolledBack);
  require_end(second, kDone);
  require_answers(daemon, "v2\n");
}

TEST_CASE("a stop in the middle of a reload ends it with the truth, and what waits, too") {
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  site.install(probe_v2());
  Process first = daemon.begin_ctl({"reload"});
  wait_until_held(daemon);
  Process second = daemon.begin_ctl({"reload"});
  daemon.wait_for_status("another one waits", [](const Status& now) { return now.rollout.queued; });
  daemon.process().signal(SIGTERM);
  require_end(first, kFailed);
  require_end(second, kFailed);
  daemon.has_ended(Exit{0, 0});
  REQUIRE((first.out() + first.err()).find("stopping") != std::string::npos);
  REQUIRE((second.out() + second.err()).find("stopping") != std::string::npos);
}

TEST_CASE("each line of --json is an event of the rollout, and the last one the verdict") {
  Site site(probe_group(2));
  Daemon daemon(site);
  site.install(probe_v2());
  const std::vector<std::vector<std::string>> verbs{
      {"reload", "--json"},         {"reload", "--dry-run", "--json"},
      {"rollback", "--json"},       {"scale", "api", "3", "--json"},
      {"restart", "api", "--json"}, {"reload", "watch", "--json"}};
  int number = 0;
  for (const auto& verb : verbs) {
    if (verb.at(1) != "watch") ++number;
    const auto finished = daemon.ctl(verb);
    require_exit(finished, kDone);
    const auto events = events_of(finished.out);
    REQUIRE(events.size() >= 3);
    for (const auto& event : events) REQUIRE(event.rollout == "r-" + std::to_string(number));
    REQUIRE(events.front().kind == "rollout_started");
    REQUIRE(events.back().kind == "done");
    REQUIRE(events.back().result == "done");
    REQUIRE(events.back().exit_code == 0);
    REQUIRE(events_of(finished.out, "done").size() == 1);
  }
}

TEST_CASE("without a rollout there is nothing to watch, to abort or to confirm") {
  Site site(probe_group(1));
  Daemon daemon(site);
  require_exit(daemon.ctl({"reload", "watch"}), kFailed, "no rollout");
  require_exit(daemon.ctl({"reload", "status"}), kDone, "no rollout");
  require_exit(daemon.ctl({"reload", "abort"}), kFailed, "no rollout");
  require_exit(daemon.ctl({"reload", "confirm"}), kFailed, "no release waits");
}

TEST_CASE("reload abort brings back the groups that were done already, and no client notices") {
  const std::string first =
      "groups:\n  first: {plugin: probe, listen: http://127.0.0.1:0, count: 2}\n";
  Site site(first + "  api:\n    plugin: probe\n    count: 2\n" + kHeld);
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto api = daemon.pids("api");
  Load load(daemon.address("first"));
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload", "--json"});
  wait_until_held(daemon);
  for (int i = 0; i < 10; ++i) REQUIRE(get(daemon.address("first"), "/").body == "v2\n");
  require_exit(daemon.ctl({"reload", "abort"}), kDone);
  require_end(reload, kRolledBack);
  REQUIRE(events_of(reload.out(), "rolled_back", "first").size() == 1);
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address("first"), "/").body == "v1\n");
  REQUIRE(daemon.pids("api").at(1) == api.at(1));
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("reload abort while a new group starts takes that away again") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  site.configure(probe_group(1) +
                 "  more:\n    plugin: probe\n    listen: http://127.0.0.1:0\n"
                 "    reload: {min_ready: 60s}\n");
  Process reload = daemon.begin_ctl({"reload", "--changed"});
  daemon.wait_for_status("it starts", [](const Status& now) { return now.groups.size() == 2; });
  require_exit(daemon.ctl({"reload", "abort"}), kDone);
  require_end(reload, kRolledBack);
  REQUIRE(daemon.status().groups.size() == 1);
  require_answers(daemon, "v1\n");
}

TEST_CASE("a reload that only waits for a group to end is past its abort") {
  const std::string api = "groups:\n  api: {plugin: probe, listen: http://127.0.0.1:0}\n";
  Site site(api + "  old: {plugin: probe, listen: http://127.0.0.1:0}\n");
  Daemon daemon(site);
  Gate gate(site.root());
  Connection client(daemon.address("old"));
  REQUIRE(client.send(gate.request(daemon.address("old"))) == Outcome::ok);
  gate.wait_until_reached();
  site.configure(api);
  Process reload = daemon.begin_ctl({"reload", "--changed"});
  eventually("nobody listens there any more", 30s,
             [&] { return get(client.endpoint(), "/").outcome == Outcome::refused; });
  const auto status = daemon.ctl({"reload", "status"});
  require_exit(status, kDone, "it cannot be aborted now");
  REQUIRE_FALSE(says(status, "reload abort"));
  require_exit(daemon.ctl({"reload", "abort"}), kFailed, "past the point");
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  require_end(reload, kDone);
}

TEST_CASE("a SIGHUP during a reload waits its turn, and a reload like it joins") {
  Site site(probe_group(2, kHeld));
  Daemon daemon(site);
  Process first = daemon.begin_ctl({"reload", "--json"});
  wait_until_held(daemon);
  daemon.process().signal(SIGHUP);
  daemon.wait_for_status("another one waits", [](const Status& now) { return now.rollout.queued; });
  site.install(probe_v2());
  site.configure(probe_group(2));
  Process second = daemon.begin_ctl({"reload", "--json"});
  require_exit(daemon.ctl({"reload", "--changed"}), kBusy);
  require_exit(daemon.ctl({"reload", "continue"}), kDone);
  require_end(first, kDone);
  require_end(second, kDone);
  REQUIRE(events_of(second.out()).back().rollout == "r-2");
  require_answers(daemon, "v2\n");
}

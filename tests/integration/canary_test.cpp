// `reload --canary`: one slot goes first and is held against the others.
#include <catch2/catch.hpp>
#include <set>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

const std::vector<std::string> kReload{"reload", "--canary", "1", "--hold", "2s", "--json"};

// Enough answers within the hold on each worker, of requests to one path.
Mix mix_for(const std::string& target) { return {4, 8, 0, 0, 0, 4ms, 0ms, target}; }

std::string canary(const std::string& on_inconclusive) {
  return "    reload: {canary: {slots: 1, hold: 300ms, on_inconclusive: " + on_inconclusive +
         "}}\n";
}

std::set<std::string> builds(const GroupStatus& group) {
  std::set<std::string> result;
  for (const auto& worker : group.workers) result.insert(worker.build);
  return result;
}

void require_verdict(const std::string& lines, const std::string& text) {
  const auto judged = events_of(lines, "canary_judged");
  REQUIRE(judged.size() == 1);
  INFO(judged.front().text << "\nexpected: " << text);
  REQUIRE(judged.front().text.find(text) != std::string::npos);
}

void require_answers(const Daemon& daemon, const std::string& body) {
  REQUIRE(daemon.status().all_ready());
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == body);
}

}  // namespace

TEST_CASE("a canary that does as well as the others lets the rollout go on") {
  Site site(probe_group(3));
  Daemon daemon(site);
  const auto before = daemon.pids();
  Load load(daemon.address(), mix_for("/"));
  site.install(probe_v2());
  Process reload = daemon.begin_ctl(kReload);
  const Status held = daemon.wait_for_status(
      "the canary is watched", [](const Status& now) { return now.rollout.state == "holding"; });
  // One slot is new, and nobody else is touched meanwhile.
  const auto pids = held.group("api").pids();
  REQUIRE(pids.size() == 3);
  REQUIRE(pids.at(0) != before.at(0));
  REQUIRE(pids.at(1) == before.at(1));
  REQUIRE(pids.at(2) == before.at(2));
  REQUIRE(builds(held.group("api")).size() == 2);
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{kDone, 0});
  require_verdict(reload.out(), "the rollout goes on");
  require_verdict(reload.out(), "5xx 0.0%");
  require_answers(daemon, "v2\n");
  require_unnoticed(load);
}

TEST_CASE("a canary that answers with errors is taken back, with the reason") {
  Site site(probe_group(3));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("canary: ");
  const auto before = daemon.pids();
  Load good(daemon.address(), Mix::light());
  Load load(daemon.address(), mix_for("/fails_in_v2"));
  site.install(probe_v2());
  const auto finished = daemon.ctl(kReload);
  require_exit(finished, kRolledBack, "canary: 5xx");
  require_verdict(finished.out, "the rollout goes back");
  require_answers(daemon, "v1\n");
  REQUIRE(daemon.pids().at(1) == before.at(1));
  REQUIRE(daemon.pids().at(2) == before.at(2));
  require_unnoticed(good);
  const auto totals = load.stop();
  INFO(totals.text());
  for (const auto& failure : totals.failures) REQUIRE(failure.outcome == Outcome::ok);
}

TEST_CASE("a canary that is far slower is taken back, with the reason") {
  Site site(probe_group(3));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("canary: ");
  Load load(daemon.address(), mix_for("/slow_in_v2?ms=80"));
  site.install(probe_v2());
  auto reload = kReload;
  reload.at(4) = "4s";
  const auto finished = daemon.ctl(reload);
  require_exit(finished, kRolledBack, "p99");
  require_verdict(finished.out, "the rollout goes back");
  require_answers(daemon, "v1\n");
  require_unnoticed(load);
}

TEST_CASE("without enough traffic to judge by, the policy of the group decides") {
  const std::string policy = GENERATE("continue", "rollback");
  const bool goes_on = policy == "continue";
  Site site(probe_group(2, canary(policy)));
  Daemon daemon(site);
  if (!goes_on) {
    daemon.expect_error("rollout");
    daemon.expect_error("canary: ");
  }
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload", "--json"});
  require_exit(finished, goes_on ? kDone : kRolledBack);
  require_verdict(finished.out, "too few answers to judge by");
  require_answers(daemon, goes_on ? "v2\n" : "v1\n");
}

TEST_CASE("a canary that waits for a person goes on by reload continue, or back by reload abort") {
  const bool goes_on = GENERATE(true, false);
  Site site(probe_group(2, canary("wait")));
  Daemon daemon(site);
  if (!goes_on) daemon.expect_error("rollout");
  Load load(daemon.address(), {1, 0, 0, 1, 0, 100ms, 100ms, "/"});
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload", "--json"});
  daemon.wait_for_status("the canary waits",
                         [](const Status& now) { return now.rollout.state == "waiting"; });
  require_exit(daemon.ctl({"reload", "status"}), kDone, "it waits for you");
  require_exit(daemon.ctl({"reload", goes_on ? "continue" : "abort"}), kDone, "reload watch");
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{goes_on ? kDone : kRolledBack, 0});
  require_verdict(reload.out(), "waits for `appserverctl reload continue`");
  require_answers(daemon, goes_on ? "v2\n" : "v1\n");
  require_unnoticed(load);
}

TEST_CASE("a canary that crashes while it is watched takes the rollout back") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload", "--canary", "1", "--hold", "60s", "--json"});
  daemon.wait_for_status("the canary is watched",
                         [](const Status& now) { return now.rollout.state == "holding"; });
  eventually("a request hits the canary", 20s,
             [&] { return !get(daemon.address(), "/crash_in_v2").ok(); });
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{kRolledBack, 0});
  REQUIRE(events_of(reload.out()).back().text.find("SIGSEGV") != std::string::npos);
  daemon.wait_for_status("all are ready", [](const Status& now) { return now.all_ready(); });
  require_answers(daemon, "v1\n");
}

TEST_CASE("a hold without a canary is refused, with the way out") {
  const std::string two = probe_group(2) + "  web: {plugin: probe, listen: http://127.0.0.1:0}\n";
  Site site(two);
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  site.install(probe_v2());
  const std::string way_out =
      "--hold needs a canary: give --canary N, or set groups.api.reload.canary";
  require_exit(daemon.ctl({"reload", "--hold", "30s"}), kRefused, way_out);
  require_exit(daemon.ctl({"reload", "--hold", "30s", "--dry-run"}), kRefused, way_out);
  require_exit(daemon.ctl({"reload", "web", "--hold", "30s"}), kRefused, "groups.web.");
  REQUIRE(daemon.pids() == pids);
  require_answers(daemon, "v1\n");

  // One group that has a canary is enough; asked for without that one, it is none.
  site.configure(probe_group(2, canary("continue")) +
                 "  web: {plugin: probe, listen: http://127.0.0.1:0}\n");
  require_exit(daemon.ctl({"reload", "web", "--hold", "30s"}), kRefused, "groups.web.");
  const auto held = daemon.ctl({"reload", "--hold", "100ms", "--json"});
  require_exit(held, kDone);
  require_verdict(held.out, "too few answers to judge by");
  // Where nothing has changed there is nothing to hold, and nothing wrong.
  require_exit(daemon.ctl({"reload", "--changed", "--hold", "30s"}), kDone, "nothing to do");
  require_answers(daemon, "v2\n");
}

TEST_CASE("a canary that leaves nobody to compare with is refused, with the way out") {
  Site site(probe_group(3) + "  web: {plugin: probe, listen: 'http://127.0.0.1:0'}\n");
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  site.install(probe_v2());
  const std::string why = "somebody must be left to compare with";
  const std::string name_them = why + ": name the groups to reload, without that one";
  const std::string api = "--canary: expected less than the workers (3) of groups.api, got 3; ";
  const std::string web = "--canary: expected less than the workers (1) of groups.web, got 1; ";
  require_exit(daemon.ctl({"reload", "api", "--canary", "3"}), kRefused, api + why);
  require_exit(daemon.ctl({"reload", "api", "--canary", "3", "--dry-run"}), kRefused, api + why);
  require_exit(daemon.ctl({"reload", "api", "--canary", "1024"}), kRefused, "got 1024");
  require_exit(daemon.ctl({"reload", "--canary", "1", "--hold", "1s"}), kRefused, web + name_them);
  require_exit(daemon.ctl({"reload", "web", "--changed", "--canary", "1"}), kRefused, web + why);
  REQUIRE(daemon.pids() == pids);
  require_answers(daemon, "v1\n");
  // What counts is the workers that there are.
  require_exit(daemon.ctl({"scale", "api", "2"}), kDone);
  require_exit(daemon.ctl({"reload", "api", "--canary", "2"}), kRefused, "workers (2)");
  require_exit(daemon.ctl({"reload", "api", "--canary", "1", "--hold", "100ms"}), kDone);
  require_answers(daemon, "v2\n");
}

TEST_CASE("a group scaled down to one worker reloads without the canary of its configuration") {
  Site site(probe_group(3) + canary("rollback"));
  Daemon daemon(site);
  require_exit(daemon.ctl({"scale", "api", "1"}), kDone);
  site.install(probe_v2());
  const std::string said = "groups.api.reload.canary: left out";
  require_exit(daemon.ctl({"reload", "--dry-run"}), kDone, said);
  daemon.expect_error("rollout");
  require_exit(daemon.ctl({"reload", "--hold", "30s"}), kRefused, "--hold needs a canary");
  require_exit(daemon.ctl({"reload"}), kDone, said);
  require_answers(daemon, "v2\n");
}

TEST_CASE("continue without a canary that waits says that there is none") {
  Site site(probe_group(2));
  Daemon daemon(site);
  require_exit(daemon.ctl({"reload", "continue"}), kFailed, "no rollout is running");
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload", "--canary", "1", "--hold", "60s"});
  daemon.wait_for_status("the canary is watched",
                         [](const Status& now) { return now.rollout.state == "holding"; });
  require_exit(daemon.ctl({"reload", "continue"}), kFailed, "no canary waits");
  daemon.expect_error("rollout");
  require_exit(daemon.ctl({"reload", "abort"}), kDone);
  REQUIRE(reload.wait(30s) == Exit{kRolledBack, 0});
}

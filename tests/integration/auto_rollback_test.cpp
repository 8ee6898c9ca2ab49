// A reload that comes to nothing by itself: at a gate, on its deadline, and soon after it was over.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

void require_all_old(const Daemon& daemon, const std::string& build) {
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(status.all_ready());
  for (const auto& worker : status.group("api").workers) {
    REQUIRE(build.find(worker.build) == 0);
  }
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

}  // namespace

TEST_CASE(
    "a slot that fails brings back those that were replaced before it, and no client notices") {
  Site site(probe_group(3));
  const auto flag = site.root() / "bad";
  site.configure(
      probe_group(3, "    reload: {min_ready: 500ms}\n    settings: {crash_in_v2_at_start_if: " +
                         flag.string() + "}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  const auto before = daemon.status().group("api");
  const auto release = daemon.status().release;
  Load load(daemon.address());

  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload", "--json"});
  eventually("the first slot is replaced", 30s,
             [&] { return reload.out().find("\"slot_replaced\"") != std::string::npos; });
  write_file(flag, "");
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{kRolledBack, 0});
  REQUIRE(events_of(reload.out()).back().text.find("SIGSEGV") != std::string::npos);

  require_all_old(daemon, before.build);
  REQUIRE(daemon.status().release == release);
  REQUIRE(daemon.pids().back() == before.pids().back());
  load.wait_for_more(50);
  const auto totals = require_unnoticed(load);
  REQUIRE(totals.answers.count("v2") == 1);
}

TEST_CASE("a new worker that crashes while the rollout still runs takes the whole of it back") {
  Site site(probe_group(
      3, "    reload: {min_ready: 400ms}\n    settings: {crash_in_v2_after_ms: 600}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  const auto build = daemon.status().group("api").build;
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kRolledBack, "SIGSEGV");
  daemon.wait_for_status("all are ready", [](const Status& status) { return status.all_ready(); });
  require_all_old(daemon, build);
}

TEST_CASE("a build that failed is known by that: the next reload says so, and tries it") {
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  site.configure(
      probe_group(1, "    settings: {crash_in_v2_at_start_if: " + flag.string() + "}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  write_file(flag, "");
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kRolledBack);
  require_exit(daemon.ctl({"reload"}), kRolledBack, "though it was quarantined");
  std::filesystem::remove(flag);
  require_exit(daemon.ctl({"reload"}), kDone, "though it was quarantined");
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("a failed group brings back the groups that were done before it, and no client notices") {
  const auto flag_of = [](const Site& site) { return (site.root() / "bad").string(); };
  Site site(probe_group(1));
  site.configure(
      "groups:\n"
      "  first: {plugin: probe, listen: http://127.0.0.1:0, count: 2}\n"
      "  second: {plugin: probe, listen: http://127.0.0.1:0, count: 2,\n"
      "    settings: {crash_in_v2_at_start_if: " +
      flag_of(site) + "}}\n");
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  const auto second = daemon.pids("second");
  write_file(flag_of(site), "");
  Load load(daemon.address("first"));
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload", "--json"});
  require_exit(finished, kRolledBack);
  REQUIRE(events_of(finished.out, "group_done", "first").size() == 1);
  REQUIRE(events_of(finished.out, "rolled_back", "first").size() == 1);
  for (const std::string group : {"first", "second"}) {
    for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(group), "/").body == "v1\n");
  }
  REQUIRE(daemon.pids("second") == second);
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("a rollout that is not over within its deadline goes back, and no client notices") {
  Site site(probe_group(3, "    reload: {deadline: 1s, min_ready: 700ms}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto build = daemon.status().group("api").build;
  Load load(daemon.address());
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kRolledBack, "reload.deadline");
  require_all_old(daemon, build);
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("broken, then fixed, then a reload works") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("failed");
  site.install(fixture("crashes_at_start"));
  daemon.expect_error("SIG");
  require_exit(daemon.ctl({"reload"}), kRolledBack);
  write_file(site.plugin(), "no plugin");
  require_exit(daemon.ctl({"reload"}), kRefused);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("a build that crash-loops soon after its reload was done is taken back by itself") {
  Site site(probe_group(1, "    settings: {crash_in_v2_after_ms: 100}\n"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("crash-loop");
  const auto first = daemon.status().release;
  const auto build = daemon.status().group("api").build;
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto bad = daemon.status().release;
  REQUIRE(bad == first + 1);

  daemon.wait_for_status(
      "the old build is back",
      [&](const Status& status) {
        return status.release > bad && status.all_ready() && status.group("api").build == build;
      },
      60s);
  require_all_old(daemon, build);
  daemon.wait_for_status("it is over",
                         [](const Status& status) { return status.state == "running"; });
  eventually("the history tells of it", 10s,
             [&] { return release_of(daemon.history(), bad).result.find("reverted: ") == 0; });
  const auto history = daemon.history();
  REQUIRE(release_of(history, bad).result.find("crash-loops") != std::string::npos);
  REQUIRE(release_of(history, bad + 1).committed);
  // Its content is in quarantine.
  require_exit(daemon.ctl({"reload", "--dry-run"}), kDone, "though it was quarantined");
}

TEST_CASE("a build that crash-loops is taken back though a reload of another group has followed") {
  Site site(probe_group(1, "    settings: {crash_in_v2_after_ms: 700}\n") +
            "  other:\n    plugin: other\n    listen: http://127.0.0.1:0\n");
  site.install(probe_v1(), "other");
  Daemon daemon(site);
  for (const char* text : {"SIGSEGV", "crash-loop", "taken back"}) daemon.expect_error(text);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "api"}), kDone);
  site.install(probe_v2(), "other");
  require_exit(daemon.ctl({"reload", "other"}), kDone);
  daemon.wait_for_status(
      "the group is back on its old build",
      [&](const Status& status) {
        return status.state == "running" && status.all_ready() &&
               get(daemon.address(), "/").body == "v1\n";
      },
      60s);
  REQUIRE(get(daemon.address("other"), "/").body == "v2\n");
}

TEST_CASE("a build that crash-loops is taken back after another rollout, however that ends") {
  const bool well = GENERATE(true, false);
  INFO((well ? "it is done" : "it goes back"));
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  const auto other_flag = site.root() / "other_bad";
  // The other one is over when the window of the first one is over, too.
  site.configure(probe_group(1,
                             "    reload: {confirm_within: 12s}\n"
                             "    settings: {crash_in_v2_at_start_if: " +
                                 flag.string() + "}\n") +
                 "  other:\n    plugin: other\n    listen: http://127.0.0.1:0\n    count: 2\n"
                 "    reload: {min_ready: 8s}\n"
                 "    settings: {crash_in_v2_at_start_if: " +
                 other_flag.string() + "}\n");
  site.install(probe_v1(), "other");
  Daemon daemon(site);
  for (const char* text : {"SIGSEGV", "SIGKILL", "crash-loop", "taken back", "rollout"})
    daemon.expect_error(text);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "api"}), kDone);
  site.install(probe_v2(), "other");
  Process reload = daemon.begin_ctl({"reload", "other", "--json"});
  eventually("the other one runs", 10s,
             [&] { return reload.out().find("\"group_started\"") != std::string::npos; });
  write_file(flag, "");
  REQUIRE(::kill(daemon.pids().front(), SIGKILL) == 0);
  daemon.wait_for_log("crash-loop: next start", 12s);
  if (!well) {
    eventually("its first slot is done", 20s,
               [&] { return reload.out().find("\"slot_replaced\"") != std::string::npos; });
    pause_briefly(4'000);
    write_file(other_flag, "");
    REQUIRE(::kill(daemon.pids("other").front(), SIGKILL) == 0);
  }
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err() << daemon.log());
  REQUIRE(exit == Exit{well ? kDone : kRolledBack, 0});
  daemon.wait_for_status(
      "the group is back on its old build",
      [&](const Status& status) { return status.state == "running" && status.all_ready(); }, 60s);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(get(daemon.address("other"), "/").body == (well ? "v2\n" : "v1\n"));
}

TEST_CASE("a group that crash-loops after its turn fails the rollout that still runs") {
  const bool hold = GENERATE(false, true);
  INFO((hold ? "it waits for a person at a canary" : "another group is still to prove itself"));
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  site.configure(
      "groups:\n  first:\n    plugin: probe\n    listen: http://127.0.0.1:0\n"
      "    settings: {crash_in_v2_at_start_if: " +
      flag.string() +
      "}\n"
      "  second:\n    plugin: probe\n    listen: http://127.0.0.1:0\n    count: 2\n" +
      (hold ? "    reload: {canary: {slots: 1, hold: 60s}}\n" : "    reload: {min_ready: 60s}\n"));
  Daemon daemon(site);
  for (const char* text : {"SIGSEGV", "SIGKILL", "crash-loop", "rollout"})
    daemon.expect_error(text);
  const auto release = daemon.status().release;
  const auto second = daemon.pids("second");
  site.install(probe_v2());
  Process reload = daemon.begin_ctl({"reload", "--json"});
  eventually("the second group has its turn", 20s, [&] {
    return !events_of(reload.out(), "group_done", "first").empty() &&
           !events_of(reload.out(), "group_started", "second").empty() &&
           (!hold || reload.out().find("canary") != std::string::npos);
  });
  write_file(flag, "");
  REQUIRE(::kill(daemon.pids("first").front(), SIGKILL) == 0);
  const auto exit = reload.wait(40s);
  INFO(reload.out() << reload.err() << daemon.log());
  REQUIRE(exit == Exit{kRolledBack, 0});
  REQUIRE(events_of(reload.out()).back().text.find("first: it crash-loops") == 0);
  daemon.wait_for_status("all are ready", [](const Status& status) { return status.all_ready(); });
  REQUIRE(daemon.status().release == release);
  for (const std::string group : {"first", "second"})
    REQUIRE(get(daemon.address(group), "/").body == "v1\n");
  REQUIRE(daemon.pids("second").back() == second.back());
  // Its content is in quarantine.
  require_exit(daemon.ctl({"reload", "--dry-run"}), kDone, "though it was quarantined");
}

TEST_CASE("confirm_within: 0s leaves a crash-looping build where it is") {
  Site site(probe_group(
      1, "    reload: {confirm_within: 0s}\n    settings: {crash_in_v2_after_ms: 100}\n"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("crash-loop");
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto release = daemon.status().release;
  daemon.wait_for_status(
      "it crash-loops",
      [](const Status& status) { return status.group("api").state == "crash-loop"; }, 60s);
  REQUIRE(daemon.status().rollout.state.empty());
  REQUIRE(daemon.status().release == release);
}

TEST_CASE("a reload that resizes and fails leaves the number and the workers as they were") {
  const int wanted = GENERATE(1, 5);
  Site site(probe_group(3));
  const auto flag = site.root() / "bad";
  const auto config = [&](int count) {
    return probe_group(count,
                       "    reload: {min_ready: 300ms}\n"
                       "    settings: {crash_in_v2_at_start_if: " +
                           flag.string() + "}\n");
  };
  site.configure(config(3));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  const auto build = daemon.status().group("api").build;
  Load load(daemon.address(), {3, 6, 2, 1, 1, 2ms, 100ms, "/"});
  site.install(probe_v2());
  site.configure(config(wanted));
  Process reload = daemon.begin_ctl({"reload", "--json"});
  if (wanted > 3) {
    eventually("new slots are there", 60s, [&] {
      return events_of(daemon.ctl({"reload", "watch", "--timeout", "50ms", "--json"}).out,
                       "slot_replaced")
                 .size() >= 3;
    });
  }
  write_file(flag, "");
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{kRolledBack, 0});
  REQUIRE(daemon.pids().size() == 3);
  REQUIRE(daemon.status().group("api").count == 3);
  require_all_old(daemon, build);
  load.wait_for_more(100);
  require_unnoticed(load);
}

TEST_CASE("a reload is the way out of a crash-loop") {
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  site.configure(probe_group(2, "    settings: {crash_at_start_if: " + flag.string() + "}\n"));
  write_file(flag, "");
  Daemon daemon(site, {.wait_until_ready = false});
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("crash-loop");
  daemon.wait_for_control_socket();
  daemon.wait_for_status(
      "it crash-loops",
      [](const Status& status) { return status.group("api").state == "crash-loop"; }, 60s);
  site.configure(probe_group(2));
  require_exit(daemon.ctl({"reload"}), kDone);
  const Status status = daemon.status();
  REQUIRE(status.all_ready());
  REQUIRE(status.group("api").state == "ok");
}

// The way back: by hand to a release of the history, and what runs afterwards.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

void require_answers(const Endpoint& address, const std::string& body) {
  for (int i = 0; i < 20; ++i) {
    const auto response = get(address, "/");
    INFO(response.text());
    REQUIRE(response.body == body);
  }
}

// Kills the worker of the first slot and waits until that has another one.
void replace_by_force(Daemon& daemon) {
  daemon.expect_error("SIGKILL");
  const pid_t victim = daemon.pids().at(0);
  ::kill(victim, SIGKILL);
  daemon.wait_for_status("the worker is back", [&](const Status& status) {
    return status.all_ready() && status.group("api").pids().at(0) != victim;
  });
}

}  // namespace

TEST_CASE("rollback brings the release before back under load, also when the plugin file is gone") {
  Site site(probe_group(2));
  Daemon daemon(site);
  Load load(daemon.address());
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  require_answers(daemon.address(), "v2\n");
  std::filesystem::remove(site.plugin());

  require_exit(daemon.ctl({"rollback"}), kDone);
  require_answers(daemon.address(), "v1\n");
  load.wait_for_more(50);
  const auto totals = require_unnoticed(load);
  REQUIRE(totals.answers.at("v1") > 0);
}

TEST_CASE("a worker killed after a rollback comes back on the old build, whatever lies on disk") {
  Site site(probe_group(2));
  Daemon daemon(site);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  require_exit(daemon.ctl({"rollback"}), kDone);
  replace_by_force(daemon);
  require_answers(daemon.address(), "v1\n");
  write_file(site.plugin(), "garbage");
  replace_by_force(daemon);
  require_answers(daemon.address(), "v1\n");
}

TEST_CASE("a daemon that is started again after a rollback runs what it had gone back to") {
  Site site(probe_group(2));
  {
    Daemon daemon(site);
    site.install(probe_v2());
    require_exit(daemon.ctl({"reload"}), kDone);
    require_exit(daemon.ctl({"rollback"}), kDone);
  }
  Daemon daemon(site);
  require_answers(daemon.address(), "v1\n");
  REQUIRE(daemon.status().notes.size() == 1);
  require_exit(daemon.ctl({"reload"}), kDone);
  require_answers(daemon.address(), "v2\n");
  REQUIRE(daemon.status().notes.empty());
}

TEST_CASE("rollback --to brings back the release of that number, with its settings and count") {
  const auto config = [](int count, const std::string& greeting) {
    return probe_group(count, "    settings: {greeting: " + greeting + "}\n");
  };
  Site site(config(2, "one"));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  const auto first = daemon.status().release;
  site.configure(config(3, "two"));
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto second = daemon.status().release;
  site.configure(config(1, "three"));
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.status().release == second + 1);

  Load load(address);
  require_exit(daemon.ctl({"rollback", "--to", std::to_string(first)}), kDone);
  REQUIRE(daemon.pids().size() == 2);
  REQUIRE(get(address, "/setting?name=greeting").body == "one\n");
  require_answers(address, "v1\n");
  require_exit(daemon.ctl({"rollback", "--to", std::to_string(second)}), kDone);
  REQUIRE(daemon.pids().size() == 3);
  REQUIRE(get(address, "/setting?name=greeting").body == "two\n");
  require_answers(address, "v2\n");
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("rollback of one group leaves the others as they are") {
  Site site(
      "groups:\n"
      "  one: {plugin: probe, listen: http://127.0.0.1:0, count: 1}\n"
      "  two: {plugin: probe, listen: http://127.0.0.1:0, count: 1}\n");
  Daemon daemon(site);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto one = daemon.pids("one");
  require_exit(daemon.ctl({"rollback", "two"}), kDone);
  REQUIRE(daemon.pids("one") == one);
  require_answers(daemon.address("one"), "v2\n");
  require_answers(daemon.address("two"), "v1\n");
}

TEST_CASE("rollback brings back a group that a reload had ended, and ends one that it had added") {
  const std::string api = "groups:\n  api: {plugin: probe, listen: http://127.0.0.1:0}\n";
  Site site(api + "  old: {plugin: probe, listen: http://127.0.0.1:0}\n");
  Daemon daemon(site);
  site.configure(api + "  new: {plugin: probe, listen: http://127.0.0.1:0}\n");
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.status().groups.size() == 2);
  REQUIRE(daemon.status().group("new").ready == 1);
  require_exit(daemon.ctl({"rollback"}), kDone);
  REQUIRE(daemon.status().groups.size() == 2);
  REQUIRE(daemon.status().group("old").ready == 1);
  REQUIRE(get(daemon.address("old"), "/").ok());
}

TEST_CASE("rollback without an earlier release, or to one that never was, is refused") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  require_exit(daemon.ctl({"rollback"}), kRefused, "no earlier release");
  require_exit(daemon.ctl({"rollback", "--to", "77"}), kRefused, "77");
  require_exit(daemon.ctl({"rollback", "nosuch"}), kRefused);
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("rollback --dry-run prints what would come back and touches nothing") {
  Site site(probe_group(2));
  Daemon daemon(site);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto pids = daemon.pids();
  require_exit(daemon.ctl({"rollback", "--dry-run"}), kDone, "nothing was touched");
  REQUIRE(daemon.pids() == pids);
  require_answers(daemon.address(), "v2\n");
}

TEST_CASE(
    "the history tells of each release who brought it, what became of it and which one runs") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  site.configure(probe_group(1, "    settings: {crash_at_start_if: /}\n"));
  require_exit(daemon.ctl({"reload"}), kRolledBack);
  require_exit(daemon.ctl({"rollback"}), kDone);

  const auto history = daemon.history();
  REQUIRE(history.size() == 4);
  REQUIRE(release_of(history, 1).result == "committed");
  REQUIRE(release_of(history, 2).result == "committed");
  REQUIRE(release_of(history, 2).who.find("uid ") != std::string::npos);
  REQUIRE(release_of(history, 3).result.find("rolled back: ") == 0);
  REQUIRE(release_of(history, 3).result.find("SIGSEGV") != std::string::npos);
  REQUIRE(release_of(history, 4).what.find("back to 1") != std::string::npos);
  REQUIRE(release_of(history, 4).committed);
  REQUIRE_FALSE(release_of(history, 2).committed);
  REQUIRE(release_of(history, 2).available);
  REQUIRE(daemon.status().release == 4);

  const auto table = daemon.ctl({"history"});
  require_exit(table, kDone, "<- current");
  REQUIRE(says(table, "rolled back"));
}

TEST_CASE("rollback again goes one further back, and a reload comes forward again") {
  const auto config = [](const std::string& greeting) {
    return probe_group(1, "    settings: {greeting: " + greeting + "}\n");
  };
  Site site(config("one"));
  Daemon daemon(site);
  for (const std::string greeting : {"two", "three"}) {
    site.configure(config(greeting));
    require_exit(daemon.ctl({"reload"}), kDone);
  }
  const auto greeting = [&] { return get(daemon.address(), "/setting?name=greeting").body; };
  require_exit(daemon.ctl({"rollback"}), kDone);
  REQUIRE(greeting() == "two\n");
  require_exit(daemon.ctl({"rollback"}), kDone);
  REQUIRE(greeting() == "one\n");
  daemon.expect_error("rollout");
  require_exit(daemon.ctl({"rollback"}), kRefused, "no earlier release");
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(greeting() == "three\n");
}

TEST_CASE("rollback to a release whose build is no longer kept is refused, and history says so") {
  Site site(probe_group(1));
  std::string config = read_whole(site.config_file());
  config.replace(config.find("dir: plugins"), 12, "dir: plugins, keep: 1");
  write_file(site.config_file(), config);
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto first = daemon.status().release;
  for (const auto& build : {probe_v2(), shipped_plugin("hello"), shipped_plugin("slow")}) {
    site.install(build);
    require_exit(daemon.ctl({"reload"}), kDone);
    REQUIRE(get(daemon.address(), "/").ok());
  }
  REQUIRE_FALSE(release_of(daemon.history(), first).available);
  const auto pids = daemon.pids();
  require_exit(daemon.ctl({"rollback", "--to", std::to_string(first)}), kRefused,
               "no longer in the store");
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a rollback is the way out of a crash-loop") {
  Site site(probe_group(
      2, "    reload: {confirm_within: 0s}\n    settings: {crash_in_v2_after_ms: 50}\n"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("crash-loop");
  site.install(probe_v2());
  // With two slots the first one's crash may well come while the second one is being replaced.
  daemon.expect_error("rollout");
  const auto reload = daemon.ctl({"reload"});
  REQUIRE((reload.exit.code == kDone || reload.exit.code == kRolledBack));
  if (reload.exit.code == kDone) {
    daemon.wait_for_status(
        "it crash-loops",
        [](const Status& status) { return status.group("api").state == "crash-loop"; }, 60s);
    require_exit(daemon.ctl({"rollback"}), kDone);
  }
  daemon.wait_for_status("all are ready", [](const Status& status) {
    return status.all_ready() && status.group("api").state == "ok";
  });
  require_answers(daemon.address(), "v1\n");
}

// `reload --confirm-within`: a release that stays only if a person says so in time.
#include <signal.h>

#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

// A release that waits to be confirmed; its number.
std::int64_t reload_to_confirm(Site& site, const Daemon& daemon, const std::string& within) {
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "--confirm-within", within}), kDone, "reload confirm");
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(status.rollout.state == "confirming");
  return status.release;
}

void require_answers(const Daemon& daemon, const std::string& body) {
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == body);
}

void wait_until_reverted(const Daemon& daemon, std::int64_t release, const std::string& why) {
  daemon.wait_for_status("the release before is back", [&](const Status& status) {
    return status.release > release && status.state == "running" && status.all_ready();
  });
  eventually("the history tells of it", 10s, [&] {
    const std::string result = release_of(daemon.history(), release).result;
    return result.find("reverted: ") == 0 && result.find(why) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("a confirmed release stays, also over a restart") {
  Site site(probe_group(2));
  {
    Daemon daemon(site);
    const auto release = reload_to_confirm(site, daemon, "60s");
    require_exit(daemon.ctl({"reload", "confirm"}), kDone, std::to_string(release));
    REQUIRE(daemon.status().rollout.state.empty());
    require_answers(daemon, "v2\n");
    eventually("the history tells of it", 10s, [&] {
      const Release record = release_of(daemon.history(), release);
      return record.committed && record.result.find("confirmed by") != std::string::npos;
    });
  }
  Daemon daemon(site);
  require_answers(daemon, "v2\n");
}

TEST_CASE("a release that nobody confirms goes back by itself, and no client notices") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("is taken back");
  Load load(daemon.address());
  const auto release = reload_to_confirm(site, daemon, "1500ms");
  wait_until_reverted(daemon, release, "not confirmed in time");
  require_answers(daemon, "v1\n");
  load.wait_for_more(50);
  require_unnoticed(load);
  // The person was late.
  require_exit(daemon.ctl({"reload", "confirm"}), kFailed, "no release waits for a confirm");
}

TEST_CASE("reload abort takes a release back at once that waits for its confirm") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("is taken back");
  Load load(daemon.address(), Mix::light());
  const auto release = reload_to_confirm(site, daemon, "10m");
  require_exit(daemon.ctl({"reload", "abort"}), kDone, "is taken back");
  wait_until_reverted(daemon, release, "aborted by");
  require_answers(daemon, "v1\n");
  require_unnoticed(load);
}

TEST_CASE("a daemon killed before the confirm starts again on the release before") {
  Site site(probe_group(2));
  std::int64_t release = 0;
  {
    Daemon daemon(site);
    release = reload_to_confirm(site, daemon, "10m");
    require_answers(daemon, "v2\n");
    daemon.kill();
  }
  Daemon daemon(site);
  require_answers(daemon, "v1\n");
  const auto history = daemon.history();
  REQUIRE(release_of(history, release).result.find("reverted: ") == 0);
  REQUIRE(release_of(history, release - 1).committed);
  REQUIRE(daemon.status().release == release - 1);
  // And the next reload takes it, with a number of its own.
  require_exit(daemon.ctl({"reload"}), kDone);
  require_answers(daemon, "v2\n");
  REQUIRE(daemon.status().release == release + 1);
}

TEST_CASE("a daemon stopped before the confirm starts again on the release before") {
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    reload_to_confirm(site, daemon, "10m");
  }
  Daemon daemon(site);
  require_answers(daemon, "v1\n");
}

TEST_CASE("a reload while a release waits for its confirm waits along, and goes back with it") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("taken back");
  const auto release = reload_to_confirm(site, daemon, "4s");
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.status().rollout.state == "confirming");
  wait_until_reverted(daemon, release + 1, "not confirmed");
  require_answers(daemon, "v1\n");
}

TEST_CASE("one confirm keeps all that was built upon the release that waits") {
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    reload_to_confirm(site, daemon, "60s");
    require_exit(daemon.ctl({"reload"}), kDone);
    require_exit(daemon.ctl({"reload", "confirm"}), kDone);
    REQUIRE(daemon.status().rollout.state.empty());
  }
  Daemon daemon(site);
  require_answers(daemon, "v2\n");
}

TEST_CASE("the way back of an unconfirmed release cannot be aborted") {
  Site site(probe_group(2, "    reload: {min_ready: 1s}\n"));
  Daemon daemon(site);
  daemon.expect_error("taken back");
  const auto release = reload_to_confirm(site, daemon, "60s");
  require_exit(daemon.ctl({"reload", "abort"}), kDone, "taken back");
  require_exit(daemon.ctl({"reload", "abort"}), kFailed, "cannot be aborted");
  require_exit(daemon.ctl({"reload", "confirm"}), kFailed, "taken back already");
  wait_until_reverted(daemon, release, "aborted by");
  require_answers(daemon, "v1\n");
}

TEST_CASE(
    "a worker that is killed before the confirm comes back on the release that waits for it") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  reload_to_confirm(site, daemon, "10m");
  const pid_t victim = daemon.pids().front();
  ::kill(victim, SIGKILL);
  daemon.wait_for_status("it is back", [&](const Status& status) {
    return status.all_ready() && status.group("api").pids() != std::vector<pid_t>{victim};
  });
  require_answers(daemon, "v2\n");
}

TEST_CASE("scaling while a release waits for its confirm leaves it waiting") {
  const bool confirmed = GENERATE(true, false);
  Site site(probe_group(2));
  {
    Daemon daemon(site);
    reload_to_confirm(site, daemon, "10m");
    require_exit(daemon.ctl({"scale", "api", "3"}), kDone);
    const Status status = daemon.status();
    REQUIRE(status.rollout.state == "confirming");
    REQUIRE(status.group("api").ready == 3);
    if (confirmed) {
      require_exit(daemon.ctl({"reload", "confirm"}), kDone, std::to_string(status.release));
      daemon.stop();
    } else {
      daemon.kill();
    }
  }
  Daemon daemon(site);
  require_answers(daemon, confirmed ? "v2\n" : "v1\n");
  REQUIRE(daemon.pids().size() == (confirmed ? 3 : 2));
}

TEST_CASE("a scaled release that nobody confirms goes back, and keeps what was scaled") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("is taken back");
  reload_to_confirm(site, daemon, "3s");
  require_exit(daemon.ctl({"scale", "api", "3"}), kDone);
  const auto release = daemon.status().release;
  wait_until_reverted(daemon, release, "not confirmed in time");
  require_answers(daemon, "v1\n");
  // Who scaled had a reason that the builds have nothing to do with.
  REQUIRE(daemon.pids().size() == 3);
}

TEST_CASE("a rollback by hand while a release waits goes to the one before it") {
  const auto config = [](const std::string& greeting) {
    return probe_group(1, "    settings: {greeting: " + greeting + "}\n");
  };
  Site site(config("one"));
  Daemon daemon(site);
  site.configure(config("two"));
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto before = daemon.status().release;
  site.configure(config("three"));
  const auto release = reload_to_confirm(site, daemon, "10m");
  require_exit(daemon.ctl({"rollback"}), kDone);
  require_answers(daemon, "v1\n");
  REQUIRE(get(daemon.address(), "/setting?name=greeting").body == "two\n");
  REQUIRE(daemon.status().rollout.state.empty());
  eventually("the history tells of it", 10s, [&] {
    return release_of(daemon.history(), release).result.find("reverted: rolled back by") == 0;
  });
  REQUIRE(release_of(daemon.history(), release + 1).committed);
  REQUIRE(
      release_of(daemon.history(), release + 1).what.find("back to " + std::to_string(before)) ==
      0);
}

TEST_CASE("a reload that only resizes can wait for a confirm, too") {
  const bool confirmed = GENERATE(true, false);
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    site.configure(probe_group(2));
    require_exit(daemon.ctl({"reload", "--changed", "--confirm-within", "10m"}), kDone,
                 "reload confirm");
    REQUIRE(daemon.status().rollout.state == "confirming");
    REQUIRE(daemon.pids().size() == 2);
    if (confirmed) require_exit(daemon.ctl({"reload", "confirm"}), kDone);
  }
  Daemon daemon(site);
  REQUIRE(daemon.pids().size() == (confirmed ? 2 : 1));
}

// What a daemon that is started again knows of a rollout that its end has cut off, and of a release
// that was still to prove itself.
#include <signal.h>

#include <catch2/catch.hpp>

#include "os/fd.hpp"
#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

void require_answers(const Daemon& daemon, const std::string& body) {
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == body);
}

std::string crashing_if(const std::filesystem::path& flag) {
  return "    settings: {crash_in_v2_at_start_if: " + flag.string() + "}\n";
}

// A reload whose first new worker is there; gives the number of its release.
std::int64_t begin_long_reload(Site& site, const Daemon& daemon) {
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "--no-wait"}), kDone);
  daemon.wait_for_status("the first new worker is there", [](const Status& status) {
    return status.rollout.state == "rolling" && status.group("api").workers.size() == 3;
  });
  const auto newest = daemon.history().front();
  REQUIRE(newest.result == "running");
  REQUIRE(!newest.committed);
  return newest.number;
}

// Both builds have run, and the second one is in force.
std::int64_t reload_to_v2(Site& site, const Daemon& daemon) {
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
  require_answers(daemon, "v2\n");
  return daemon.status().release;
}

void require_taken_back(const Daemon& daemon, std::int64_t release) {
  daemon.wait_for_status(
      "the old build is back",
      [&](const Status& status) {
        return status.release > release && status.state == "running" && status.all_ready();
      },
      60s);
  require_answers(daemon, "v1\n");
  eventually("the history tells of it", 10s, [&] {
    const std::string result = release_of(daemon.history(), release).result;
    return result.find("reverted: ") == 0 && result.find("crash-loops") != std::string::npos;
  });
}

}  // namespace

TEST_CASE(
    "a rollout stands in the history while it runs, and as cut off when the daemon is killed") {
  Site site(probe_group(2, "    reload: {min_ready: 60s}\n"));
  std::int64_t release = 0;
  {
    Daemon daemon(site);
    release = begin_long_reload(site, daemon);
    REQUIRE(daemon.status().release == release - 1);
    daemon.kill();
  }
  Daemon daemon(site);
  daemon.expect_error("no earlier release");
  require_answers(daemon, "v1\n");
  REQUIRE(release_of(daemon.history(), release).result ==
          "reverted: the daemon ended in the midst of it");
  REQUIRE(release_of(daemon.history(), release - 1).committed);
  require_exit(daemon.ctl({"rollback"}), kRefused, "no earlier release");
  site.configure(probe_group(2));
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.status().release == release + 1);
  REQUIRE(release_of(daemon.history(), release + 1).result == "committed");
}

TEST_CASE("a stop in the midst of a rollout is recorded at once") {
  Site site(probe_group(2, "    reload: {min_ready: 60s}\n"));
  std::int64_t release = 0;
  {
    Daemon daemon(site);
    daemon.expect_error("the daemon is stopping");
    release = begin_long_reload(site, daemon);
    daemon.stop();
  }
  const auto file = site.state_dir() / "releases" / (std::to_string(release) + ".json");
  const std::string record = appserver::os::read_file(file, 1U << 20);
  INFO(record);
  REQUIRE(record.find("reverted: the daemon ended in the midst of it") != std::string::npos);
}

TEST_CASE("what is refused before it begins leaves no line in the history") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  site.install(fixture("no_note"));
  require_exit(daemon.ctl({"reload"}), kRefused);
  require_exit(daemon.ctl({"reload", "--dry-run"}), kRefused);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload", "--dry-run"}), kDone);
  REQUIRE(daemon.history().size() == 1);
}

TEST_CASE("a build that crash-loops soon after its reload is taken back over a restart, too") {
  const bool killed = GENERATE(true, false);
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  site.configure(probe_group(2, crashing_if(flag)));
  std::int64_t release = 0;
  {
    Daemon daemon(site);
    release = reload_to_v2(site, daemon);
    if (killed) {
      daemon.kill();
    } else {
      daemon.stop();
    }
  }
  write_file(flag, "");
  Daemon daemon(site, {.wait_until_ready = false});
  for (const char* text : {"SIGSEGV", "crash-loop", "taken back"}) daemon.expect_error(text);
  daemon.wait_for_log("started, pid");
  require_taken_back(daemon, release);
  require_exit(daemon.ctl({"reload", "--dry-run"}), kDone, "though it was quarantined");
}

TEST_CASE("the window does not begin anew with a restart") {
  const auto config = [](const std::filesystem::path& flag) {
    return probe_group(1, "    reload: {confirm_within: 1s}\n" + crashing_if(flag));
  };
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  site.configure(config(flag));
  std::int64_t release = 0;
  {
    Daemon daemon(site);
    release = reload_to_v2(site, daemon);
    daemon.kill();
  }
  write_file(flag, "");
  Daemon daemon(site, {.wait_until_ready = false});
  for (const char* text : {"SIGSEGV", "crash-loop"}) daemon.expect_error(text);
  daemon.wait_for_log("started, pid");
  daemon.wait_for_status(
      "it crash-loops",
      [](const Status& status) { return status.group("api").state == "crash-loop"; }, 60s);
  REQUIRE(daemon.status().rollout.state.empty());
  REQUIRE(daemon.status().release == release);
}

TEST_CASE("a crash-loop is taken back before the start is over, the group alone after an edit") {
  Site site(probe_group(1));
  const auto flag = site.root() / "bad";
  site.configure(probe_group(1, crashing_if(flag)));
  {
    Daemon daemon(site);
    reload_to_v2(site, daemon);
  }
  write_file(flag, "");
  site.install(fixture("hangs_at_start"), "other");
  site.configure(probe_group(1, crashing_if(flag)) +
                 "  other: {plugin: other, listen: 'http://127.0.0.1:0',\n"
                 "    reload: {start_timeout: 100s}}\n");
  Daemon daemon(site, {.wait_until_ready = false});
  for (const char* text : {"SIGSEGV", "crash-loop", "taken back"}) daemon.expect_error(text);
  daemon.wait_for_log("started, pid");
  daemon.wait_for_status(
      "the group is back on its old build",
      [](const Status& status) {
        return status.rollout.state.empty() && status.group("api").ready == 1;
      },
      60s);
  require_answers(daemon, "v1\n");
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(status.state == "starting");
  REQUIRE(status.group("other").ready == 0);
  REQUIRE(daemon.log().find("up: ") == std::string::npos);
  // What hangs holds up no stop.
  daemon.expect_error("SIGKILL in on_worker_start");
  daemon.process().signal(SIGINT);
  daemon.has_ended(Exit{0, 0});
}

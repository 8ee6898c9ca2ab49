// What a worker leaves to the next one of its slot, and when there is nothing.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "support/answers.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/sanitized.hpp"
#include "support/scratch_dir.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

std::filesystem::path counter(int layout) {
  return std::filesystem::path(APPSERVER_TEST_PLUGINS) / ("v" + std::to_string(layout)) /
         "counter.so";
}

// One worker that counts; `reload` are members of its group's reload, `settings` of its settings.
std::string counting(const std::string& settings = {}, const std::string& reload = {}) {
  return "groups:\n  api: {plugin: counter, count: 1, listen: http://127.0.0.1:0, settings: {" +
         settings + "}, reload: {" + reload + "}}\n";
}

struct CountingSite : Site {
  explicit CountingSite(const std::string& yaml = counting()) : Site(yaml) {
    install(counter(1), "counter");
  }
};

std::string body(const Daemon& daemon, const std::string& target = "/") {
  const auto response = get(daemon.address(), target);
  INFO(response.text());
  REQUIRE(response.ok());
  return response.body;
}

void count_to(const Daemon& daemon, int number) {
  for (int i = 1; i <= number; ++i) REQUIRE(body(daemon) == std::to_string(i) + " v1\n");
}

const char* const kStartsEmpty = "its successor starts empty: ";
const std::string kBeganEmpty = "! api/0 began without the state of the worker before it: ";

void wait_for_another(const Daemon& daemon, pid_t old) {
  daemon.wait_for_status("another worker serves", [old](const Status& status) {
    const auto pids = status.group("api").pids();
    return status.all_ready() && pids.size() == 1 && pids.front() != old;
  });
}

}  // namespace

TEST_CASE("a count in memory goes along in a reload, a rollback, a restart and a recycling") {
  CountingSite site;
  Daemon daemon(site);
  REQUIRE(body(daemon, "/from") == "empty\n");
  count_to(daemon, 3);
  site.install(counter(2), "counter");
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(body(daemon, "/from") == "3 of layout 1\n");
  REQUIRE(body(daemon) == "4 v2\n");
  require_exit(daemon.ctl({"rollback"}), kDone);
  REQUIRE(body(daemon, "/from") == "4 of layout 2\n");
  REQUIRE(body(daemon) == "5 v1\n");
  require_exit(daemon.ctl({"drain", "api/0"}), kDone);
  REQUIRE(body(daemon) == "6 v1\n");
  require_exit(daemon.ctl({"restart", "api"}), kDone);
  // A restart takes what lies in the plugin folder.
  REQUIRE(body(daemon) == "7 v2\n");
  REQUIRE(daemon.log().find("starts empty") == std::string::npos);
}

TEST_CASE("a kept connection goes along with the count") {
  CountingSite site;
  Daemon daemon(site);
  count_to(daemon, 1);
  for (int round = 0; round < 5; ++round) {
    Connection connection(daemon.address());
    REQUIRE(connection.get("/").ok());
    require_exit(daemon.ctl({"reload"}), kDone);
    REQUIRE(connection.get("/from").body == std::to_string(2 + round) + " of layout 1\n");
    REQUIRE(connection.connects() == 1);
  }
}

TEST_CASE("a worker that ends by SIGTERM leaves its count to the one that is started after it") {
  CountingSite site;
  Daemon daemon(site);
  daemon.expect_error("SIGTERM from outside");
  count_to(daemon, 2);
  const pid_t old = daemon.pids().at(0);
  ::kill(old, SIGTERM);
  wait_for_another(daemon, old);
  REQUIRE(body(daemon, "/from") == "2 of layout 1\n");
}

TEST_CASE("a worker that crashes leaves nothing, also not what it was left") {
  CountingSite site;
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  count_to(daemon, 2);
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(body(daemon, "/from") == "2 of layout 1\n");
  const pid_t old = daemon.pids().at(0);
  ::kill(old, SIGKILL);
  wait_for_another(daemon, old);
  REQUIRE(body(daemon, "/from") == "empty\n");
}

TEST_CASE("where memory is short the old worker leaves its count right before its end") {
  CountingSite site(counting({}, "reserve_memory: 1024GiB"));
  Daemon daemon(site);
  count_to(daemon, 2);
  site.install(counter(2), "counter");
  const auto reload = daemon.ctl({"reload"});
  require_exit(reload, kDone);
  REQUIRE(reload.out.find("api/0 draining") < reload.out.find("api/0 starting"));
  REQUIRE(body(daemon, "/from") == "2 of layout 1\n");
}

TEST_CASE("a successor that fails to start takes the count from nobody") {
  const ScratchDir scratch;
  const auto file = scratch.path() / "fail";
  const std::string reload = GENERATE("", "reserve_memory: 1024GiB");
  CountingSite site(counting("fails_to_start_if: " + file.string(), reload));
  Daemon daemon(site);
  daemon.expect_error("told to fail");
  daemon.expect_error("going back to the release before");
  count_to(daemon, 2);
  write_file(file, "");
  site.install(counter(2), "counter");
  require_exit(daemon.ctl({"reload"}), kRolledBack);
  REQUIRE(body(daemon) == "3 v1\n");
}

TEST_CASE("a worker that cannot save leaves nothing, which the reload and the status tell") {
  struct Case {
    const char* save;
    const char* words;
  };
  const auto tried = GENERATE(
      Case{"hangs", "its successor starts empty: no answer from on_save_state within 2000 ms"},
      Case{"throws", "its successor starts empty: on_save_state: std::runtime_error: the count"},
      Case{"too_much", "its successor starts empty: on_save_state: std::length_error: more than"});
  INFO(tried.save);
  const ScratchDir scratch;
  const auto broken = scratch.path() / "broken";
  write_file(broken, "");
  CountingSite site(counting(std::string("save: ") + tried.save + ", save_if: " + broken.string(),
                             "drain_timeout: 1s"));
  Daemon daemon(site);
  count_to(daemon, 2);
  REQUIRE(daemon.ctl({"status", "--json"}).out.find("\"state_lost\":null") != std::string::npos);
  site.install(counter(2), "counter");
  require_exit(daemon.ctl({"reload"}), kDone, std::string("api/0 ") + tried.words);
  INFO(daemon.log());
  REQUIRE(daemon.log().find(tried.words) != std::string::npos);
  REQUIRE(body(daemon, "/from") == "empty\n");
  REQUIRE(body(daemon) == "1 v2\n");
  const std::string why = std::string(tried.words).substr(std::string(kStartsEmpty).size());
  require_exit(daemon.ctl({"status"}), kDone, kBeganEmpty + why);
  require_exit(daemon.ctl({"status", "--json"}), kDone, "\"state_lost\":\"" + why);
  std::filesystem::remove(broken);
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(body(daemon, "/from") == "1 of layout 2\n");
  REQUIRE_FALSE(says(daemon.ctl({"status"}), kBeganEmpty));
}

TEST_CASE("a state that is lost stays in the status over a crash and a reload that goes back") {
  const ScratchDir scratch;
  const auto fail = scratch.path() / "fail";
  CountingSite site(counting("save: throws, fails_to_start_if: " + fail.string()));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  daemon.expect_error("told to fail");
  daemon.expect_error("going back to the release before");
  require_exit(daemon.ctl({"reload"}), kDone);
  require_exit(daemon.ctl({"status"}), kDone, kBeganEmpty);
  const pid_t old = daemon.pids().at(0);
  ::kill(old, SIGKILL);
  wait_for_another(daemon, old);
  require_exit(daemon.ctl({"status"}), kDone, kBeganEmpty);
  write_file(fail, "");
  site.install(counter(2), "counter");
  require_exit(daemon.ctl({"reload"}), kRolledBack, kStartsEmpty);
  require_exit(daemon.ctl({"status"}), kDone, kBeganEmpty);
}

TEST_CASE("state that a successor which fails did not get is not lost") {
  const ScratchDir scratch;
  const auto fail = scratch.path() / "fail";
  CountingSite site(counting("save: throws, fails_to_start_if: " + fail.string()));
  Daemon daemon(site);
  daemon.expect_error("told to fail");
  daemon.expect_error("going back to the release before");
  count_to(daemon, 2);
  write_file(fail, "");
  site.install(counter(2), "counter");
  require_exit(daemon.ctl({"reload"}), kRolledBack, kStartsEmpty);
  REQUIRE_FALSE(says(daemon.ctl({"status"}), kBeganEmpty));
  REQUIRE(body(daemon) == "3 v1\n");
}

TEST_CASE("a worker that crashes while it saves: the reload names it and what it cut") {
  CountingSite site(counting("save: crashes"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("rollout r-");
  Connection one(daemon.address());
  Connection other(daemon.address());
  REQUIRE(one.get("/").ok());
  REQUIRE(other.get("/").ok());
  const std::string pid = std::to_string(daemon.pids().at(0));
  site.install(counter(2), "counter");
  const auto reload = daemon.ctl({"reload"});
  require_exit(reload, kPartial, "cut 2");
  require_exit(reload, kPartial, "its successor starts empty: the worker before it died: SIGSEGV");
  require_exit(reload, kPartial,
               "2 connections were cut: api/0 (pid " + pid + "): SIGSEGV in on_save_state");
  REQUIRE(body(daemon) == "1 v2\n");
}

TEST_CASE("a worker that crashes while it drains: only what it still held was cut") {
  CountingSite site(counting("drain: crashes"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("rollout r-");
  Connection idle(daemon.address());
  REQUIRE(idle.get("/").ok());
  Connection busy(daemon.address());
  REQUIRE(busy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf") == Outcome::ok);
  daemon.wait_for_status("both are there", [](const Status& status) {
    return status.group("api").workers.at(0).connections == 2;
  });
  const std::string pid = std::to_string(daemon.pids().at(0));
  site.install(counter(2), "counter");
  const auto reload = daemon.ctl({"reload"});
  require_exit(reload, kPartial, "handed over 1 cut 1");
  require_exit(reload, kPartial,
               "1 connection was cut: api/0 (pid " + pid + "): SIGSEGV in on_worker_drain");
  REQUIRE(idle.get("/").ok());
  REQUIRE(idle.connects() == 1);
}

TEST_CASE("a worker that crashes in a drain that was asked for is named with what it cut") {
  CountingSite site(counting("save: crashes"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  Connection client(daemon.address());
  REQUIRE(client.get("/").ok());
  const std::string pid = std::to_string(daemon.pids().at(0));
  require_exit(daemon.ctl({"drain", "api/0"}), kPartial,
               "1 connection(s) were cut: api/0 (pid " + pid + "): SIGSEGV in on_save_state");
}

TEST_CASE("state that nobody can start with is given twice, and then the slot starts empty") {
  CountingSite site(counting("chokes_on: \"2\""));
  Daemon daemon(site);
  daemon.expect_error("SIGTERM from outside");
  daemon.expect_error("told to choke");
  count_to(daemon, 2);
  const pid_t old = daemon.pids().at(0);
  ::kill(old, SIGTERM);
  wait_for_another(daemon, old);
  INFO(daemon.log());
  REQUIRE(daemon.log().find("starts empty: who was given the state before has not come to serve") !=
          std::string::npos);
  REQUIRE(body(daemon, "/from") == "empty\n");
  REQUIRE(body(daemon) == "1 v1\n");
}

TEST_CASE(
    "where memory is short and the old worker hangs while it saves, the reload names the hook") {
  CountingSite site(counting("save: hangs", "reserve_memory: 1024GiB, drain_timeout: 1s"));
  Daemon daemon(site);
  count_to(daemon, 2);
  const std::string pid = std::to_string(daemon.pids().at(0));
  site.install(counter(2), "counter");
  const std::string ended = "hang (not ended 5 s after drain_timeout): SIGABRT in on_save_state";
  const auto reload = daemon.ctl({"reload"});
  require_exit(reload, kDone,
               "its successor starts empty: it has ended without what on_save_state");
  require_exit(reload, kDone, "cut 0: " + ended);
  INFO(daemon.log());
  REQUIRE(daemon.log().find("after drain_timeout; it is in on_save_state") != std::string::npos);
  REQUIRE(body(daemon, "/from") == "empty\n");
  daemon.wait_for_log("ended: " + ended);
  const auto crash = daemon.ctl({"crashes", "show", "1"});
  require_exit(crash, kDone, ended);
  if (!kSanitized) require_exit(crash, kDone, "Counter::on_save_state");
  REQUIRE(says(crash, pid));
}

TEST_CASE("connections of a worker that hangs while it saves are laid to the hook") {
  CountingSite site(counting("save: hangs", "drain_timeout: 1s"));
  Daemon daemon(site);
  daemon.expect_error("rollout r-");
  Connection client(daemon.address());
  REQUIRE(client.get("/").ok());
  const std::string pid = std::to_string(daemon.pids().at(0));
  site.install(counter(2), "counter");
  require_exit(daemon.ctl({"reload"}), kPartial,
               "1 connection was cut: api/0 (pid " + pid +
                   "): hang (not ended 5 s after drain_timeout): SIGABRT in on_save_state");
}

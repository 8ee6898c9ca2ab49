// Workers that die: what it costs, what is said, and how they come back.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

const WorkerStatus& slot(const Status& status, std::size_t number) {
  return status.group("api").workers.at(number);
}

// A daemon whose workers crash at start for as long as a file exists.
struct CrashingAtStart {
  Site site;
  std::filesystem::path flag;

  explicit CrashingAtStart(int count) : site(probe_group(count)), flag(site.root() / "crash") {
    site.configure(
        probe_group(count, "    settings: {crash_at_start_if: " + flag.string() + "}\n"));
  }
};

}  // namespace

TEST_CASE("a plugin that throws fails that request with 500, and the worker lives") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("the probe throws");
  const auto pids = daemon.pids();
  Connection connection(daemon.address());
  for (int i = 0; i < 3; ++i) {
    const auto response = connection.get("/throw");
    INFO(response.text());
    REQUIRE(response.outcome == Outcome::ok);
    REQUIRE(response.status == 500);
    REQUIRE(connection.get("/").body == "v1\n");
  }
  REQUIRE(connection.connects() == 1);
  REQUIRE(daemon.pids() == pids);
  daemon.wait_for_log("the probe throws, as it was asked to");
}

TEST_CASE(
    "a plugin that segfaults costs that worker only, which is restarted, and the reason is kept") {
  Site site(probe_group(3));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  const auto before = daemon.pids();
  Connection connection(daemon.address());
  const auto first = connection.get("/");
  const pid_t victim = std::stoi(first.header("X-Pid"));
  REQUIRE(connection.get("/crash").outcome != Outcome::ok);

  const auto after =
      daemon.wait_for_status("the crashed worker is replaced", [&](const Status& status) {
        const auto pids = status.group("api").pids();
        return status.all_ready() && std::find(pids.begin(), pids.end(), victim) == pids.end();
      });
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto& worker = slot(after, i);
    if (before[i] != victim) {
      REQUIRE(worker.pid == before[i]);
      continue;
    }
    INFO(worker.last_exit);
    REQUIRE(worker.last_exit.find("SIGSEGV") != std::string::npos);
    REQUIRE(worker.restarts == 1);
  }
  REQUIRE(connection.get("/").body == "v1\n");
}

TEST_CASE("a plugin that exits with status 0 has crashed") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("exit");
  const auto before = daemon.pids();
  REQUIRE(get(daemon.address(), "/exit").outcome != Outcome::ok);
  const auto after = daemon.wait_for_status("the worker is replaced", [&](const Status& status) {
    return status.all_ready() && status.group("api").pids() != before;
  });
  REQUIRE(slot(after, 0).restarts == 1);
  REQUIRE(slot(after, 0).last_exit.find("exit") != std::string::npos);
}

TEST_CASE("kill -9 of a worker under load fails its own requests only and refuses no connection") {
  Site site(probe_group(3));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  const Mix mix;
  Load load(daemon.address(), mix);
  load.wait_for_more(200);
  const pid_t victim = daemon.pids().at(1);
  ::kill(victim, SIGKILL);
  const auto after = daemon.wait_for_status(
      "the killed worker is replaced",
      [&](const Status& status) { return status.all_ready() && slot(status, 1).pid != victim; });
  load.wait_for_more(200);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(slot(after, 1).last_exit.find("SIGKILL") != std::string::npos);

  // At most one request of each client can have been with the victim.
  const int clients =
      mix.keep_alive + mix.closing + mix.posting + mix.slow_keep_alive + mix.slow_closing;
  REQUIRE(totals.failures.size() <= static_cast<std::size_t>(clients));
  for (const auto& failure : totals.failures) {
    INFO(failure.text());
    REQUIRE((failure.outcome == Outcome::reset || failure.outcome == Outcome::eof ||
             failure.outcome == Outcome::cut_short));
    REQUIRE((failure.last_worker == victim || failure.last_worker == 0));
  }
}

TEST_CASE("kill -9 of all workers at once refuses no connection: they wait for the successors") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  const auto before = daemon.pids();
  const Endpoint address = daemon.address();
  for (const pid_t pid : before) ::kill(pid, SIGKILL);
  eventually("the workers are dead", 10s, [&] {
    return std::none_of(before.begin(), before.end(), [](pid_t pid) { return exists(pid); });
  });
  for (int i = 0; i < 20; ++i) {
    const auto response = get(address, "/");
    INFO(response.text());
    REQUIRE(response.body == "v1\n");
  }
}

TEST_CASE("while one slot is in backoff, the others take its connections") {
  CrashingAtStart subject(2);
  Daemon daemon(subject.site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("SIGKILL");
  const Endpoint address = daemon.address();
  write_file(subject.flag, "crash");
  ::kill(daemon.pids().at(0), SIGKILL);
  daemon.wait_for_status("the slot is in backoff", [](const Status& status) {
    return slot(status, 0).state == "backoff" && slot(status, 0).restarts >= 2;
  });
  for (int i = 0; i < 100; ++i) {
    const auto response = get(address, "/", 2s);
    INFO(response.text());
    REQUIRE(response.body == "v1\n");
  }
  std::filesystem::remove(subject.flag);
  daemon.wait_for_status("the slot is ready again",
                         [](const Status& status) { return status.all_ready(); });
}

TEST_CASE(
    "a worker that dies again and again is a crash loop, visible, slowed down and ended by a "
    "restart") {
  CrashingAtStart subject(1);
  Daemon daemon(subject.site);
  daemon.expect_error("api");
  write_file(subject.flag, "crash");
  ::kill(daemon.pids().at(0), SIGKILL);
  const auto looping = daemon.wait_for_status(
      "the slot is called a crash loop",
      [](const Status& status) { return slot(status, 0).state == "crash-loop"; }, 60s);
  REQUIRE(looping.group("api").state == "crash-loop");
  REQUIRE(slot(looping, 0).last_exit.find("SIGSEGV") != std::string::npos);
  REQUIRE(slot(looping, 0).restarts >= 4);
  REQUIRE(slot(looping, 0).restarts < 20);

  std::filesystem::remove(subject.flag);
  const auto restarted = daemon.ctl({"restart", "api"});
  INFO(restarted.text());
  REQUIRE(restarted.exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a stopped process is not an exit") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const auto before = daemon.pids();
  ::kill(before.at(0), SIGSTOP);
  const auto stopped = daemon.status();
  ::kill(before.at(0), SIGCONT);
  REQUIRE(stopped.group("api").pids() == before);
  REQUIRE(daemon.pids() == before);
  for (int i = 0; i < 10; ++i) REQUIRE(get(daemon.address(), "/").ok());
}

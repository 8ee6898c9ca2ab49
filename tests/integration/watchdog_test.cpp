// Workers whose event loop stands still: what is done about them, and what is not.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "support/answers.hpp"
#include "support/census.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/sanitized.hpp"

using namespace appserver::integration;

namespace {

constexpr int kRefused = 3;

const Mix kNewConnections{0, 4, 0, 0, 0, 10ms, 0ms};

void expect_hang(Daemon& daemon) {
  for (const char* text : {"event loop has not turned", "ended: ", "  at ", "crash record"}) {
    daemon.expect_error(text);
  }
}

// Has some worker of the group spin, and gives its pid once it does.
pid_t spin(const Daemon& daemon, Connection& client, const std::string& target = "/spin") {
  const auto before = client.get("/");
  REQUIRE(before.ok());
  REQUIRE(client.send(request_text("GET", target, client.endpoint().authority())) == Outcome::ok);
  daemon.wait_for_log("it spins");
  return std::stoi(before.header("X-Pid"));
}

const WorkerStatus* find(const Status& status, pid_t pid, const std::string& group = "api") {
  const auto& workers = status.group(group).workers;
  const auto found = std::find_if(workers.begin(), workers.end(),
                                  [&](const auto& worker) { return worker.pid == pid; });
  return found == workers.end() ? nullptr : &*found;
}

Status wait_until_gone(const Daemon& daemon, pid_t pid, const std::string& group = "api") {
  return daemon.wait_for_status("the hung worker is replaced", [&](const Status& status) {
    return status.all_ready() && find(status, pid, group) == nullptr;
  });
}

bool is_hung(const Status& status, pid_t pid) {
  const auto* worker = find(status, pid);
  return worker != nullptr && worker->state == "hung";
}

std::string two_groups(const std::string& api) {
  return probe_group(2, api) +
         "  canary:\n"
         "    plugin: probe\n"
         "    listen: http://127.0.0.1:0\n"
         "    hang_timeout: 1s\n";
}

// The watchdog of the daemon works: it ends the worker of the second group.
void check_watchdog_works(Daemon& daemon) {
  expect_hang(daemon);
  const pid_t hung = daemon.pids("canary").at(0);
  Connection client(daemon.address("canary"));
  REQUIRE(client.send(request_text("GET", "/spin", client.endpoint().authority())) == Outcome::ok);
  wait_until_gone(daemon, hung, "canary");
}

}  // namespace

TEST_CASE("a worker whose loop hangs is aborted and replaced, and nobody else waits for it") {
  Site site(probe_group(3, "    hang_timeout: 1s\n"));
  site.install(faults());
  Daemon daemon(site);
  expect_hang(daemon);
  const auto before = daemon.pids();
  Connection client(daemon.address());
  const pid_t hung = spin(daemon, client);
  Load load(daemon.address(), kNewConnections);
  const Status after = wait_until_gone(daemon, hung);
  load.wait_for_more(50);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());

  for (const pid_t pid : before) REQUIRE((pid == hung || find(after, pid) != nullptr));
  REQUIRE(after.group("api").restarts == 1);
  const auto crash = wait_for_crash(daemon);
  INFO(crash << "\n" << daemon.log());
  REQUIRE(text_of(crash, "signal") == "SIGABRT");
  REQUIRE(text_of(crash, "hook") == "on_request");
  REQUIRE(crash.at("pid").to_number<pid_t>() == hung);
  REQUIRE(lines_of(crash, "output").find("it spins") != std::string::npos);
  if (kSanitized) return;
  REQUIRE(lines_of(crash, "stack").find("faults::spin_for_ever()") != std::string::npos);
  daemon.wait_for_log("faults::spin_for_ever()");
}

TEST_CASE("a hung worker that ignores SIGABRT is shown as hung, lent out, and killed") {
  Site site(probe_group(2, "    hang_timeout: 1s\n"));
  site.install(faults());
  Daemon daemon(site);
  expect_hang(daemon);
  Connection client(daemon.address());
  const pid_t hung = spin(daemon, client, "/spin_deaf");
  const Status hanging = daemon.wait_for_status(
      "it is shown as hung", [&](const Status& status) { return is_hung(status, hung); });
  const auto slot = find(hanging, hung)->slot;
  const auto drain = daemon.ctl({"drain", "api/" + std::to_string(slot)});
  INFO(drain.text());
  REQUIRE(drain.exit.code == kRefused);
  // As many as would have to meet its queue, were it not lent.
  for (int i = 0; i < 40; ++i) REQUIRE(get(daemon.address(), "/", 2s).ok());
  const auto after = wait_until_gone(daemon, hung);
  REQUIRE(after.group("api").restarts == 1);
  const auto crash = wait_for_crash(daemon);
  INFO(crash);
  REQUIRE(text_of(crash, "signal") == "SIGKILL");
  REQUIRE(client.receive().outcome != Outcome::ok);
}

TEST_CASE("a worker that was stopped with SIGSTOP is not killed, and serves again after SIGCONT") {
  Site site(probe_group(2, "    hang_timeout: 1s\n"));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  Connection client(daemon.address());
  const pid_t stopped = std::stoi(client.get("/").header("X-Pid"));
  REQUIRE(::kill(stopped, SIGSTOP) == 0);
  const auto status = daemon.wait_for_status(
      "it is shown as hung", [&](const Status& now) { return is_hung(now, stopped); });
  INFO(status.text);
  REQUIRE(status.group("api").state == "degraded");
  for (int i = 0; i < 40; ++i) REQUIRE(get(daemon.address(), "/", 2s).ok());
  REQUIRE(client.send(request_text("GET", "/", client.endpoint().authority())) == Outcome::ok);

  REQUIRE(::kill(stopped, SIGCONT) == 0);
  const auto answer = client.receive();
  INFO(answer.text());
  REQUIRE(answer.body == "v1\n");
  daemon.wait_for_status("it is ready again", [&](const Status& now) { return now.all_ready(); });
  eventually("it accepts again", 10s,
             [&] { return get(daemon.address(), "/").header("X-Pid") == std::to_string(stopped); });
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().group("api").restarts == 0);
  REQUIRE(crashes_of(daemon).empty());
}

TEST_CASE("a reload goes through where a worker was stopped with SIGSTOP") {
  Site site(probe_group(2, "    hang_timeout: 1s\n    reload: {drain_timeout: 1s}\n"));
  Daemon daemon(site);
  daemon.expect_error("ended: ");
  daemon.expect_error("crash record");
  const pid_t stopped = daemon.pids().at(0);
  REQUIRE(::kill(stopped, SIGSTOP) == 0);
  daemon.wait_for_status("it is shown as hung",
                         [&](const Status& now) { return is_hung(now, stopped); });
  site.install(probe_v2());
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  const auto after = daemon.status();
  REQUIRE(after.all_ready());
  REQUIRE(find(after, stopped) == nullptr);
  REQUIRE(!exists(stopped));
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/", 2s).body == "v2\n");
}

TEST_CASE("hang_timeout 0 leaves a worker that hangs alone") {
  Site site(two_groups("    hang_timeout: 0s\n"));
  site.install(faults());
  Daemon daemon(site);
  const auto pids = daemon.pids();
  Connection client(daemon.address());
  spin(daemon, client);
  check_watchdog_works(daemon);
  REQUIRE(daemon.pids() == pids);
  // It would not end by itself.
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  daemon.expect_error("SIGKILL");
  REQUIRE(client.receive().outcome != Outcome::ok);
}

TEST_CASE("a machine that stood still for longer than hang_timeout costs no worker") {
  Site site(two_groups("    hang_timeout: 1s\n"));
  site.install(faults());
  Daemon daemon(site);
  const auto pids = daemon.pids();
  auto everybody = pids;
  everybody.push_back(daemon.pids("canary").at(0));
  Connection client(daemon.address());
  REQUIRE(client.get("/").ok());
  for (const pid_t pid : everybody) REQUIRE(::kill(pid, SIGSTOP) == 0);
  daemon.process().signal(SIGSTOP);
  // The time that passes is what this is about.
  pause_briefly(4000);
  daemon.process().signal(SIGCONT);
  for (const pid_t pid : everybody) REQUIRE(::kill(pid, SIGCONT) == 0);
  REQUIRE(client.get("/").ok());
  daemon.wait_for_status("all are ready", [](const Status& now) { return now.all_ready(); });
  check_watchdog_works(daemon);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().group("api").restarts == 0);
  REQUIRE(client.get("/").ok());
  REQUIRE(client.connects() == 1);
}

TEST_CASE("a supervisor that stood still for longer than hang_timeout kills no worker") {
  Site site(two_groups("    hang_timeout: 1s\n"));
  site.install(faults());
  Daemon daemon(site);
  const auto pids = daemon.pids();
  Load load(daemon.address(), Mix::light());
  daemon.process().signal(SIGSTOP);
  pause_briefly(3000);
  daemon.process().signal(SIGCONT);
  check_watchdog_works(daemon);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a worker that is busy with one request after the other does not hang") {
  Site site(probe_group(1, "    hang_timeout: 1s\n"));
  site.install(faults());
  Daemon daemon(site);
  const auto pids = daemon.pids();
  // All of them are there at once, so that the loop comes to nothing else for three seconds.
  std::vector<std::unique_ptr<Connection>> clients;
  for (int i = 0; i < 15; ++i) {
    clients.push_back(std::make_unique<Connection>(daemon.address()));
    REQUIRE(clients.back()->send(request_text(
                "GET", "/block?ms=200", clients.back()->endpoint().authority())) == Outcome::ok);
  }
  for (const auto& client : clients) REQUIRE(client->receive().ok());
  REQUIRE(daemon.pids() == pids);
}

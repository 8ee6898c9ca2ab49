// A worker that may open few files: what does not fit waits, and nothing breaks.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <map>

#include "os/error.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver;
using namespace appserver::integration;

namespace {

constexpr std::size_t kServed = (400 - 128) / 2;
constexpr std::size_t kWaiting = 200;

using Connections = std::deque<Connection>;

std::string limited_group(int count) {
  return probe_group(count,
                     "    rlimits: {nofile: 400}\n"
                     "    limits: {max_connections: 1000}\n");
}

// Whether this process may have as many files open as its clients need.
bool can_open(rlim_t files) {
  rlimit limit{};
  os::check(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit(nofile)");
  if (limit.rlim_cur >= files) return true;
  if (limit.rlim_max < files) {
    WARN("not run: this process may open only " << limit.rlim_max << " files");
    return false;
  }
  limit.rlim_cur = files;
  os::check(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit(nofile, {})", files);
  return true;
}

// Each has an answer and is kept.
void hold(Connections& held, const Endpoint& address, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto response = held.emplace_back(address, 30s).get("/");
    INFO("connection " << i << ": " << response.text());
    REQUIRE(response.ok());
  }
}

// Each has sent a request, and no more.
void queue_up(Connections& waiting, const Endpoint& address, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto request = request_text("GET", "/", address.authority());
    INFO("connection " << i << " of those that wait");
    REQUIRE(waiting.emplace_back(address, 30s).send(request) == Outcome::ok);
  }
}

void require_all_answer(Connections& held, const std::string& body) {
  for (auto& connection : held) {
    const auto response = connection.get("/");
    INFO(response.text());
    REQUIRE(response.body == body);
    REQUIRE(connection.connects() == 1);
  }
}

// Connects until each worker has as many connections as it serves; by the pid that answered. One
// that comes upon a full worker waits, is given up, and the next one may meet the other.
std::map<pid_t, Connections> fill(const Daemon& daemon) {
  const Endpoint address = daemon.address();
  std::map<pid_t, Connections> held;
  for (const pid_t pid : daemon.pids()) held[pid];
  const auto full = [&] {
    return std::all_of(held.begin(), held.end(),
                       [](const auto& worker) { return worker.second.size() == kServed; });
  };
  const Deadline deadline(60s);
  while (!full()) {
    if (deadline.passed()) throw std::runtime_error("the workers are not full in time");
    Connection connection(address, 200ms);
    const auto response = connection.get("/");
    if (!response.ok()) continue;
    connection.set_patience(30s);
    held.at(std::stoi(response.header("X-Pid"))).push_back(std::move(connection));
  }
  return held;
}

}  // namespace

TEST_CASE(
    "a worker serves half the connections that its files allow, says so, and lets the rest wait") {
  if (!can_open(1000)) return;
  Site site(limited_group(1));
  Daemon daemon(site);
  daemon.wait_for_log("serves at most " + std::to_string(kServed) + " connections");
  Connections held;
  Connections waiting;
  hold(held, daemon.address(), kServed);
  queue_up(waiting, daemon.address(), kWaiting);
  // It has turned its loop often enough to take another one, if it were to.
  require_all_answer(held, "v1\n");
  REQUIRE(daemon.status().group("api").workers.at(0).connections ==
          static_cast<std::int64_t>(kServed));

  held.clear();
  for (auto& connection : waiting) {
    const auto response = connection.receive();
    INFO(response.text());
    REQUIRE(response.body == "v1\n");
    connection.close();
  }
}

TEST_CASE("what a group's workers can hold is said once, not by each") {
  if (!can_open(1000)) return;
  Site site(limited_group(3));
  Daemon daemon(site);
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  const std::string log = daemon.log();
  INFO(log);
  const std::string said = "serves at most " + std::to_string(kServed) + " connections";
  REQUIRE(log.find(said) != std::string::npos);
  REQUIRE(log.find(said) == log.rfind(said));
}

TEST_CASE(
    "a reload carries over all connections of a worker that is full while more of them wait") {
  if (!can_open(1000)) return;
  Site site(limited_group(1));
  Daemon daemon(site);
  const auto before = daemon.pids();
  Connections held;
  Connections waiting;
  hold(held, daemon.address(), kServed);
  queue_up(waiting, daemon.address(), kWaiting);

  site.install(probe_v2());
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  require_all_answer(held, "v2\n");
  const auto after = daemon.status().group("api");
  REQUIRE(after.pids() != before);
  REQUIRE(after.restarts == 0);
  REQUIRE(after.workers.at(0).restarts == 0);
  REQUIRE(after.workers.at(0).last_exit.empty());

  held.clear();
  for (auto& connection : waiting) {
    const auto response = connection.receive();
    INFO(response.text());
    REQUIRE(response.body == "v2\n");
    connection.close();
  }
}

TEST_CASE("kill -9 of a full worker does not end the full one beside it, which is lent its queue") {
  if (!can_open(1500)) return;
  Site site(limited_group(2));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  const auto before = daemon.pids();
  auto held = fill(daemon);
  Connections waiting;
  queue_up(waiting, daemon.address(), kWaiting);
  const pid_t victim = before.at(0);
  const pid_t survivor = before.at(1);

  ::kill(victim, SIGKILL);
  const auto after = daemon.wait_for_status("the killed worker is back", [&](const Status& status) {
    const auto& group = status.group("api");
    return status.all_ready() && group.workers.at(0).pid != victim;
  });
  const auto& workers = after.group("api").workers;
  REQUIRE(workers.at(0).restarts == 1);
  REQUIRE(workers.at(1).pid == survivor);
  REQUIRE(workers.at(1).restarts == 0);
  require_all_answer(held.at(survivor), "v1\n");
}

// A reload into which something comes: a successor that hangs or dies, or signals to the daemon.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

constexpr int kStopped = 1;
constexpr int kRolledBack = 4;
const Exit kClean{0, 0};

std::string output(const Finished& finished) { return finished.out + finished.err; }

std::vector<std::string> reload_of(const Site& site) {
  return {ctl_binary(), "reload", "--socket", site.control_socket().string()};
}

// The worker that is not yet its slot's; 0 without one.
pid_t successor_in(const Status& status) {
  const auto& workers = status.group("api").workers;
  const auto found = std::find_if(workers.begin(), workers.end(), [](const auto& worker) {
    return worker.state == "starting" && worker.pid != 0;
  });
  return found == workers.end() ? 0 : found->pid;
}

void check_good_reload(Site& site, const Daemon& daemon) {
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

}  // namespace

TEST_CASE("a successor whose event loop stands still during min_ready replaces nobody") {
  Site site(probe_group(1, "    reload: {min_ready: 2s}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  const auto pids = daemon.pids();
  Connection client(daemon.address());
  REQUIRE(client.get("/").body == "v1\n");

  site.install(fixture("says_when_it_loops"));
  Process reload(reload_of(site));
  daemon.wait_for_log("the loop turns");
  const pid_t successor = successor_in(daemon.status());
  REQUIRE(successor != 0);
  REQUIRE(::kill(successor, SIGSTOP) == 0);
  const auto exit = reload.wait(60s);
  const std::string said = reload.out() + reload.err();
  INFO(said << "\nthe log of the daemon:\n" << daemon.log());
  REQUIRE(exit == Exit{kRolledBack, 0});
  REQUIRE(said.find("event loop") != std::string::npos);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(client.get("/").body == "v1\n");

  check_good_reload(site, daemon);
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
}

TEST_CASE("what a plugin printed before it aborted at start is on the terminal of the reload") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  daemon.expect_error("ended: ");
  const auto pids = daemon.pids();
  site.install(fixture("aborts_with_words"));
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit == Exit{kRolledBack, 0});
  REQUIRE(output(refused).find("no prices.db") != std::string::npos);
  REQUIRE(output(refused).find("SIGABRT") != std::string::npos);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  check_good_reload(site, daemon);
}

TEST_CASE("SIGHUP twice and then SIGTERM, while a reload drains, is a clean end") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const Endpoint address = daemon.address();
  Gate gate(site.root());
  Connection client(address);
  REQUIRE(client.send(gate.request(address)) == Outcome::ok);
  gate.wait_until_reached();

  site.install(probe_v2());
  Process reload(reload_of(site));
  daemon.wait_for_status("the gated worker drains", [](const Status& status) {
    const auto& workers = status.group("api").workers;
    return std::any_of(workers.begin(), workers.end(), [](const auto& worker) {
      return worker.state == "draining" && worker.in_flight == 1;
    });
  });
  for (int i = 0; i < 2; ++i) {
    daemon.process().signal(SIGHUP);
    // An answer given after the signal: it has been taken, and the next one is not the same.
    REQUIRE(daemon.status().group("api").reloading);
  }
  daemon.process().signal(SIGTERM);
  const auto exit = reload.wait(30s);
  const std::string said = reload.out() + reload.err();
  INFO(said);
  REQUIRE(exit == Exit{kStopped, 0});
  REQUIRE(said.find("stopping") != std::string::npos);
  gate.open();
  const auto response = client.receive();
  INFO(response.text());
  REQUIRE(response.body == "v1\n");
  daemon.has_ended(kClean);
}

TEST_CASE("two SIGHUPs during a reload are one more reload after it") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  const auto generation = [&] { return daemon.status().group("api").workers.at(0).generation; };
  const auto first = generation();
  Gate gate(site.root());
  Connection client(address);
  REQUIRE(client.send(gate.request(address)) == Outcome::ok);
  gate.wait_until_reached();

  site.install(probe_v2());
  Process reload(reload_of(site));
  daemon.wait_for_status("the gated worker drains", [](const Status& status) {
    const auto& workers = status.group("api").workers;
    return std::any_of(workers.begin(), workers.end(),
                       [](const auto& worker) { return worker.state == "draining"; });
  });
  for (int i = 0; i < 2; ++i) {
    daemon.process().signal(SIGHUP);
    REQUIRE(daemon.status().group("api").reloading);
  }
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  REQUIRE(reload.wait(30s) == kClean);
  // Between two reloads of which one waited, the daemon is never merely running.
  daemon.wait_for_status("no reload runs",
                         [](const Status& status) { return status.state == "running"; });
  REQUIRE(generation() == first + 2);
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
}

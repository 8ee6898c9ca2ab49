// The promise of gateways: business code changes under clients that notice nothing.
#include <signal.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "support/crowd.hpp"
#include "support/daemon.hpp"
#include "support/gateway_site.hpp"
#include "support/status.hpp"

using namespace appserver::integration;

namespace {

void reload(Daemon& daemon, GatewaySite& site, int round) {
  site.install_relay(round % 2 == 0 ? "v2" : "v1");
  const Finished finished = daemon.ctl({"reload", "chat"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

}  // namespace

TEST_CASE("a thousand WebSocket clients notice nothing of fifty business reloads") {
  GatewaySite site({.gateways = 2, .workers = 2});
  Daemon daemon(site);
  Crowd crowd(daemon.address("gate"), 1000);
  crowd.wait_for_more(2000);
  for (int round = 0; round < 50; ++round) {
    reload(daemon, site, round);
    crowd.wait_for_more(500);
  }
  CHECK(crowd.stop() == std::vector<std::string>{});
  CHECK(crowd.again() == 0);
}

TEST_CASE("clients of a gateway notice nothing of business workers that start slowly") {
  const std::string start_ms = GENERATE("1000", "3000");
  GatewaySite site({.workers = 2, .settings = "start_ms: " + start_ms});
  Daemon daemon(site);
  Crowd crowd(daemon.address("gate"), 200, 16);
  crowd.wait_for_more(1000);
  for (int round = 0; round < 2; ++round) {
    reload(daemon, site, round);
    crowd.wait_for_more(500);
  }
  CHECK(crowd.stop() == std::vector<std::string>{});
  CHECK(crowd.again() == 0);
}

TEST_CASE("with business workers killed among reloads, messages are given again but none is lost") {
  GatewaySite site({.gateways = 2, .workers = 2});
  Daemon daemon(site);
  daemon.expect_error("chat/");
  Crowd crowd(daemon.address("gate"), 300, 4);
  crowd.wait_for_more(2000);
  for (int round = 0; round < 5; ++round) {
    REQUIRE(::kill(daemon.pids("chat").front(), SIGKILL) == 0);
    crowd.wait_for_more(2000);
    daemon.wait_until_ready();
    reload(daemon, site, round);
    crowd.wait_for_more(500);
  }
  CHECK(crowd.stop() == std::vector<std::string>{});
}

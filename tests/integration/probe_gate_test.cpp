// `reload.probe`: a real request to the successor before it gets any traffic.
#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

TEST_CASE("a successor that answers the probe with 500 replaces nobody") {
  Site site(probe_group(2, "    reload: {probe: /fails_in_v2}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  const auto pids = daemon.pids();
  Load load(daemon.address(), Mix::light());
  load.wait_for_more(10);

  site.install(probe_v2());
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 4);
  REQUIRE((refused.out + refused.err).find("/fails_in_v2") != std::string::npos);
  REQUIRE((refused.out + refused.err).find("500") != std::string::npos);
  REQUIRE(daemon.pids() == pids);

  load.wait_for_more(20);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.answers.count("v2") == 0);
}

TEST_CASE("a successor that does not answer the probe in time replaces nobody") {
  Site site(
      probe_group(1, "    reload: {probe: '/gate?file=/nonexistent/never', start_timeout: 2s}\n"));
  Daemon daemon(site, {.wait_until_ready = true});
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  const auto pids = daemon.pids();
  site.install(probe_v2());
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 4);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a successor that answers the probe takes over") {
  Site site(probe_group(2, "    reload: {probe: /}\n"));
  Daemon daemon(site);
  site.install(probe_v2());
  const auto done = daemon.ctl({"reload"});
  INFO(done.text());
  REQUIRE(done.exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("a successor that crashes within min_ready replaces nobody") {
  Site site(
      probe_group(1, "    reload: {min_ready: 10s}\n    settings: {crash_in_v2_after_ms: 200}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  const auto pids = daemon.pids();
  site.install(probe_v2());
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 4);
  REQUIRE((refused.out + refused.err).find("SIGSEGV") != std::string::npos);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

// A plugin's self_check: its word counts before anything that runs is touched.
#include <catch2/catch.hpp>

#include "support/answers.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

constexpr int kRefused = 3;

struct Case {
  const char* plugin;
  const char* reason;
};

}  // namespace

TEST_CASE("a build whose self_check fails, hangs or crashes is refused, and nothing is touched") {
  const auto bad =
      GENERATE(Case{"fails_self_check", "the price list is empty"},
               Case{"hangs_in_self_check", "self_check took longer than start_timeout"},
               Case{"crashes_in_self_check", "SIGSEGV in self_check"});
  Site site(probe_group(2, "    reload: {start_timeout: 2s}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto before = daemon.status();
  const auto releases = history_of(daemon).size();
  Load load(daemon.address(), Mix::light());
  load.wait_for_more(10);

  site.install(fixture(bad.plugin));
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text() << daemon.log());
  REQUIRE(refused.exit.code == kRefused);
  REQUIRE((refused.out + refused.err).find(bad.reason) != std::string::npos);
  REQUIRE(daemon.pids() == before.group("api").pids());
  REQUIRE(history_of(daemon).size() == releases);
  REQUIRE(crashes_of(daemon).empty());

  site.install(probe_v2());
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
}

TEST_CASE("a dry run tells of a failing self_check, too") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  site.install(fixture("fails_self_check"));
  const auto refused = daemon.ctl({"reload", "--dry-run"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == kRefused);
  REQUIRE((refused.out + refused.err).find("the price list is empty") != std::string::npos);
}

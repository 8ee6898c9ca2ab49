// What the supervisor holds after hundreds of reloads: no more than before.
#include <catch2/catch.hpp>

#include "support/answers.hpp"
#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/holdings.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

// As many releases and crashes as are kept on record: from there on, each new one takes the place
// of an old one.
constexpr int kRecords = 101;

void require_done(const Finished& finished) {
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

}  // namespace

TEST_CASE("200 reloads leak no descriptor, process, thread, memory or file in the supervisor") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto reload = [&](int round) {
    site.install(round % 2 == 0 ? probe_v2() : probe_v1());
    require_done(daemon.ctl({"reload"}));
  };
  for (int round = 0; round < kRecords + 1; ++round) reload(round);
  const auto before = holdings_of(daemon, site);
  for (int round = 0; round < 200; ++round) reload(round);
  require_no_growth(before, holdings_of(daemon, site));
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("50 scalings and 50 drained slots leak nothing in the supervisor") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto scale_and_drain = [&](int rounds) {
    for (int round = 0; round < rounds; ++round) {
      require_done(daemon.ctl({"scale", "api", round % 2 == 0 ? "3" : "1"}));
      require_done(daemon.ctl({"drain", "api/0"}));
    }
  };
  for (int round = 0; round < kRecords; ++round) require_done(daemon.ctl({"reload"}));
  scale_and_drain(4);
  const auto before = holdings_of(daemon, site);
  scale_and_drain(50);
  require_no_growth(before, holdings_of(daemon, site));
}

TEST_CASE("25 recycled workers leak nothing in the supervisor") {
  Site site(probe_group(2, "    recycle: {max_requests: 20}\n"));
  Daemon daemon(site);
  const auto recycle = [&](std::int64_t times) {
    const auto wanted = recycled_in(daemon.status()) + times;
    for (const Deadline deadline = 240s; recycled_in(daemon.status()) < wanted;) {
      REQUIRE(!deadline.passed());
      for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").ok());
    }
  };
  recycle(5);
  const auto before = holdings_of(daemon, site);
  recycle(25);
  require_no_growth(before, holdings_of(daemon, site));
}

TEST_CASE("50 failed reloads leak nothing and change nobody") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  daemon.expect_error("ended: ");
  daemon.expect_error("going back");
  daemon.expect_error("crash record");
  const auto pids = daemon.pids();
  const auto fail = [&](int round) {
    const auto* name = round % 2 == 0 ? "no_symbol" : "fails_at_start";
    site.install(fixture(name));
    const auto finished = daemon.ctl({"reload"});
    INFO(name << ": " << finished.text());
    REQUIRE((finished.exit.code == 3 || finished.exit.code == 4));
  };
  // Those that were rolled back are on record, too.
  for (int round = 0; round < 2 * kRecords; ++round) fail(round);
  const auto before = holdings_of(daemon, site);
  for (int round = 0; round < 50; ++round) fail(round);
  require_no_growth(before, holdings_of(daemon, site));
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a thousand connections leave nothing in the worker") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  const pid_t worker = daemon.pids().at(0);
  const auto fds_at_rest = census_of(worker).fds;
  const auto connect_often = [&](int times) {
    for (int i = 0; i < times; ++i) REQUIRE(get(address, "/").ok());
    eventually(
        "the worker has closed its connections", 10s,
        [&] { return census_of(worker).fds == fds_at_rest; },
        [&] { return descriptors_of(worker); });
    return census_of(worker).resident_bytes;
  };
  const auto before = connect_often(100);
  const auto after = connect_often(1000);
  INFO("before: " << before << " bytes, after: " << after);
  REQUIRE(after < before + kMemorySlack);
}

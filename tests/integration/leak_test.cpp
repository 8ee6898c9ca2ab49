// What the supervisor holds after hundreds of reloads: no more than before.
#include <catch2/catch.hpp>

#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

// Allocators keep what they once had; a leak of a few hundred bytes a reload would still go beyond
// this.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// The sanitizer's quarantine and shadow grow with use.
constexpr std::uint64_t kSlack = 512u << 20;
#else
constexpr std::uint64_t kSlack = 1u << 20;
#endif

struct Holdings {
  Census census;
  std::size_t files = 0;
  std::string descriptors;
};

Holdings holdings(const Daemon& daemon, const Site& site) {
  // The status has been answered, and its connection closed, before anything is counted.
  daemon.wait_for_status("all old workers are gone", [&](const Status& status) {
    return status.all_ready() &&
           children_of(daemon.pid()).size() == status.group("api").workers.size();
  });
  Holdings result;
  eventually("the control connections are closed", 10s, [&] {
    const auto before = census_of(daemon.pid()).fds;
    pause_briefly(50);
    result.census = census_of(daemon.pid());
    return result.census.fds == before;
  });
  result.files = files_under(site.root());
  result.descriptors = descriptors_of(daemon.pid());
  return result;
}

void require_no_growth(const Holdings& before, const Holdings& after) {
  INFO("before: " << before.census.text() << ", " << before.files << " files\n"
                  << before.descriptors);
  INFO("after: " << after.census.text() << ", " << after.files << " files\n" << after.descriptors);
  REQUIRE(after.census.fds == before.census.fds);
  REQUIRE(after.census.children == before.census.children);
  REQUIRE(after.census.zombies == 0);
  REQUIRE(after.census.threads == before.census.threads);
  REQUIRE(after.files <= before.files);
  REQUIRE(after.census.resident_bytes < before.census.resident_bytes + kSlack);
}

}  // namespace

TEST_CASE("200 reloads leak no descriptor, process, memory or file in the supervisor") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto reload = [&](int round) {
    site.install(round % 2 == 0 ? probe_v2() : probe_v1());
    const auto finished = daemon.ctl({"reload"});
    INFO("round " << round << ": " << finished.text());
    REQUIRE(finished.exit.code == 0);
  };
  constexpr int kWarmUp = 20;
  for (int round = 0; round < kWarmUp; ++round) reload(round);
  const auto before = holdings(daemon, site);
  for (int round = 0; round < 200; ++round) reload(round);
  require_no_growth(before, holdings(daemon, site));
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("50 failed reloads leak nothing and change nobody") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  daemon.expect_error("ended: ");
  const auto pids = daemon.pids();
  const auto fail = [&](int round) {
    const auto* name = round % 2 == 0 ? "no_symbol" : "fails_at_start";
    site.install(fixture(name));
    const auto finished = daemon.ctl({"reload"});
    INFO(name << ": " << finished.text());
    REQUIRE((finished.exit.code == 3 || finished.exit.code == 4));
  };
  for (int round = 0; round < 10; ++round) fail(round);
  const auto before = holdings(daemon, site);
  for (int round = 0; round < 50; ++round) fail(round);
  require_no_growth(before, holdings(daemon, site));
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
  REQUIRE(after < before + kSlack);
}

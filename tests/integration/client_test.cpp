// Calls from one group to another: they outlive the other's reloads, and a drain waits for those
// that somebody waits for.
#include <catch2/catch.hpp>
#include <string>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

// "front" passes on what it gets to "api", over a unix socket or TCP.
std::string front(const Site& site) {
  return "  front: {plugin: proxy, count: 1, listen: 'http://127.0.0.1:0', settings: {upstream: "
         "'http://unix:" +
         (site.root() / "run/api.sock").string() + "'}}\n";
}

std::string api() {
  return "groups:\n  api:\n    plugin: probe\n    listen: ['http://unix:run/api.sock']\n"
         "    count: 2\n";
}

void reload_to(Daemon& daemon, Site& site, const std::filesystem::path& build) {
  site.install(build);
  const Finished finished = daemon.ctl({"reload", "api"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

}  // namespace

TEST_CASE("no call from one group to another fails while the other is reloaded again and again") {
  Site site(api());
  site.install(shipped_plugin("proxy"), "proxy");
  site.configure(api() + front(site));
  Daemon daemon(site);
  Load load(daemon.address("front"), {.slowest = milliseconds(200)});
  load.wait_for_more(200);
  for (int round = 0; round < 6; ++round) {
    reload_to(daemon, site, round % 2 == 0 ? probe_v2() : probe_v1());
    load.wait_for_more(100);
  }
  const Totals totals = load.stop();
  INFO(totals.text());
  CHECK(totals.failures.empty());
  CHECK(totals.answers.contains("v1"));
  CHECK(totals.answers.contains("v2"));
}

TEST_CASE("no call fails while the group that makes them is reloaded") {
  Site site(api());
  site.install(shipped_plugin("proxy"), "proxy");
  site.configure(api() + front(site));
  Daemon daemon(site);
  Load load(daemon.address("front"), {.slowest = milliseconds(200)});
  load.wait_for_more(100);
  for (int round = 0; round < 4; ++round) {
    const Finished finished = daemon.ctl({"reload", "front"});
    INFO(finished.text());
    REQUIRE(finished.exit.code == 0);
    load.wait_for_more(100);
  }
  const Totals totals = load.stop();
  INFO(totals.text());
  CHECK(totals.failures.empty());
}

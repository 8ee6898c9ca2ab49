// The promise itself: reload after reload under load, and no client notices.
#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

void reload_again_and_again(Daemon& daemon, Site& site, Load& load, int times) {
  for (int round = 0; round < times; ++round) {
    const bool second = round % 2 == 0;
    const std::string before = daemon.status().group("api").workers.at(0).build;
    site.install(second ? probe_v2() : probe_v1());
    const auto finished = daemon.ctl({"reload"});
    INFO("round " << round << ": " << finished.text());
    REQUIRE(finished.exit.code == 0);
    const auto after = daemon.status().group("api");
    for (const auto& worker : after.workers) REQUIRE(worker.build != before);
    load.wait_for_more(20);
  }
}

void require_unnoticed(const Totals& totals) {
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
  REQUIRE(totals.answers.size() == 2);
}

}  // namespace

TEST_CASE("twenty reloads under keep-alive, closing, posting and slow clients lose nothing") {
  Site site(probe_group(2));
  Daemon daemon(site);
  Load load(daemon.address());
  load.wait_for_more(50);
  reload_again_and_again(daemon, site, load, 20);
  require_unnoticed(load.stop());
}

TEST_CASE("reloads under clients that send without a pause lose nothing") {
  Site site(probe_group(2));
  Daemon daemon(site);
  Mix mix;
  mix.slow_keep_alive = 0;
  mix.slow_closing = 0;
  mix.think = 0ms;
  Load load(daemon.address(), mix);
  load.wait_for_more(50);
  reload_again_and_again(daemon, site, load, 10);
  require_unnoticed(load.stop());
}

TEST_CASE("reloads over a unix socket lose nothing") {
  Site site(
      "groups:\n"
      "  api: {plugin: probe, listen: 'http://unix:run/api.sock', count: 2}\n");
  Daemon daemon(site);
  Load load(daemon.address());
  load.wait_for_more(50);
  reload_again_and_again(daemon, site, load, 6);
  require_unnoticed(load.stop());
}

TEST_CASE("reloads with a surge of two lose nothing") {
  Site site(probe_group(4, "    reload: {surge: 2}\n"));
  Daemon daemon(site);
  Load load(daemon.address());
  load.wait_for_more(50);
  reload_again_and_again(daemon, site, load, 4);
  require_unnoticed(load.stop());
}

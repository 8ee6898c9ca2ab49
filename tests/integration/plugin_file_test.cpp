// Workers run a private copy of the plugin: what happens to the file that was dropped is no concern
// of theirs.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

// Does harm to the dropped file under load; then a killed worker has to come back on the build it
// ran.
template <typename Harm>
void check_harmless(Harm&& harm) {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  const auto before = daemon.status().group("api");
  Load load(daemon.address(), Mix::light());
  load.wait_for_more(20);
  harm(site);
  load.wait_for_more(200);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
  REQUIRE(daemon.pids() == before.pids());

  const pid_t victim = before.workers.at(0).pid;
  ::kill(victim, SIGKILL);
  const auto after = daemon.wait_for_status("the killed worker is back", [&](const Status& status) {
    return status.all_ready() && status.group("api").workers.at(0).pid != victim;
  });
  for (const auto& worker : after.group("api").workers) {
    REQUIRE(worker.build == before.workers.at(0).build);
  }
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

}  // namespace

TEST_CASE("overwriting the plugin file in place with garbage harms nobody") {
  check_harmless(
      [](Site& site) { overwrite_in_place(site.plugin(), std::string(100'000, '\xcc')); });
}

TEST_CASE("overwriting the plugin file in place with another build harms nobody") {
  check_harmless([](Site& site) { site.copy_over(probe_v2()); });
}

TEST_CASE("truncating the plugin file harms nobody") {
  check_harmless([](Site& site) { std::filesystem::resize_file(site.plugin(), 0); });
}

TEST_CASE("deleting the plugin file harms nobody") {
  check_harmless([](Site& site) { std::filesystem::remove(site.plugin()); });
}

TEST_CASE("a build that was copied over the old one in place is what the next reload runs") {
  Site site(probe_group(2));
  Daemon daemon(site);
  site.copy_over(probe_v2());
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  site.copy_over(probe_v1());
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a worker killed after a reload comes back on the new build") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  site.install(probe_v2());
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  site.install(probe_v1());
  const pid_t victim = daemon.pids().at(0);
  ::kill(victim, SIGKILL);
  daemon.wait_for_status("the killed worker is back", [&](const Status& status) {
    return status.all_ready() && status.group("api").pids() != std::vector<pid_t>{victim};
  });
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

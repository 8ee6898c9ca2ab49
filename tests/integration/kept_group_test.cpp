// `reloadable: false`: workers that stay, with their connections, through every reload of the
// others.
#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

constexpr const char* kGroups =
    "groups:\n"
    "  gateway: {plugin: probe, listen: http://127.0.0.1:0, count: 2, reloadable: false}\n"
    "  api: {plugin: probe, listen: http://127.0.0.1:0, count: 2}\n";

}  // namespace

TEST_CASE(
    "a group with reloadable: false keeps its workers and connections over reloads, and is told of "
    "them") {
  Site site(kGroups);
  Daemon daemon(site);
  const auto kept = daemon.pids("gateway");
  Connection client(daemon.address("gateway"));
  REQUIRE(client.get("/reloads").body == "0\n");
  for (int round = 1; round <= 5; ++round) {
    const auto rolled = daemon.pids("api");
    site.install(round % 2 == 1 ? probe_v2() : probe_v1());
    const auto finished = daemon.ctl({"reload"});
    INFO(finished.text());
    REQUIRE(finished.exit.code == 0);
    REQUIRE((finished.out + finished.err).find("gateway") != std::string::npos);
    REQUIRE(daemon.log().find(": gateway kept: ") != std::string::npos);
    REQUIRE(daemon.log().find("group_kept") == std::string::npos);
    REQUIRE(daemon.pids("gateway") == kept);
    REQUIRE(daemon.pids("api") != rolled);
    REQUIRE(client.get("/").body == "v1\n");
    REQUIRE(client.get("/reloads").body == std::to_string(round) + "\n");
  }
  REQUIRE(client.connects() == 1);
}

TEST_CASE("status says which groups are kept") {
  Site site(kGroups);
  Daemon daemon(site);
  const auto status = daemon.status();
  REQUIRE_FALSE(status.group("gateway").reloadable);
  REQUIRE(status.group("api").reloadable);
}

TEST_CASE("a kept group whose settings changed is left alone, and the reload says what to do") {
  Site site(kGroups);
  Daemon daemon(site);
  const auto kept = daemon.pids("gateway");
  site.configure(
      "groups:\n"
      "  gateway: {plugin: probe, listen: http://127.0.0.1:0, count: 2, reloadable: false, "
      "settings: {greeting: new}}\n"
      "  api: {plugin: probe, listen: http://127.0.0.1:0, count: 2}\n");
  const auto finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE((finished.out + finished.err).find("restart") != std::string::npos);
  REQUIRE(daemon.pids("gateway") == kept);
}

TEST_CASE("restart replaces the workers of a kept group by the build that lies there now") {
  Site site(kGroups);
  Daemon daemon(site);
  const auto kept = daemon.pids("gateway");
  const auto api = daemon.pids("api");
  site.install(probe_v2());
  const auto finished = daemon.ctl({"restart", "gateway"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE(daemon.pids("gateway") != kept);
  REQUIRE(daemon.pids("api") == api);
  REQUIRE(get(daemon.address("gateway"), "/").body == "v2\n");
  REQUIRE(get(daemon.address("api"), "/").body == "v1\n");
}

TEST_CASE("a kept group that is gone from the file stays until reload --force names it") {
  Site site(kGroups);
  Daemon daemon(site);
  const auto kept = daemon.pids("gateway");
  site.configure(
      "groups:\n"
      "  api: {plugin: probe, listen: http://127.0.0.1:0, count: 2}\n");
  const auto finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE((finished.out + finished.err).find("reload --force gateway") != std::string::npos);
  REQUIRE(daemon.pids("gateway") == kept);
  const auto forced = daemon.ctl({"reload", "--force", "gateway"});
  INFO(forced.text());
  REQUIRE(forced.exit.code == 0);
  REQUIRE(daemon.status().groups.size() == 1);
}

TEST_CASE("reload --force replaces the workers of a kept group by name, with its connections") {
  Site site(kGroups);
  Daemon daemon(site);
  const auto api = daemon.pids("api");
  Connection client(daemon.address("gateway"));
  REQUIRE(client.get("/").body == "v1\n");
  site.install(probe_v2());
  const auto forced = daemon.ctl({"reload", "--force", "gateway"});
  INFO(forced.text());
  REQUIRE(forced.exit.code == 0);
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
  REQUIRE(daemon.pids("api") == api);
}

// The first minutes with the daemon: the command line, without and with a file.
#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

Finished appserverd(const Site& site, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), daemon_binary());
  return run(std::move(arguments), 20s, {{}, site.root(), std::nullopt});
}

}  // namespace

TEST_CASE("one plugin and one address are enough to serve") {
  Site site(probe_group(1));
  Daemon daemon(site, {.arguments = {"--plugin", shipped_plugin("hello").string(), "--listen",
                                     "http://127.0.0.1:0", "--count", "2"}});
  const auto group = daemon.status().groups.at(0);
  REQUIRE(group.name == "hello");
  REQUIRE(group.pids().size() == 2);
  REQUIRE(get(daemon.address(), "/").body == "hello, world\n");
  REQUIRE(get(daemon.address(), "/?name=Ada%20L").body == "hello, Ada L\n");
}

TEST_CASE("a daemon started with one plugin reloads it from where it lies") {
  Site site(probe_group(1));
  Daemon daemon(site, {.arguments = {"--plugin", "plugins/probe.so", "--listen",
                                     "http://127.0.0.1:0", "--listen", "http://unix:api.sock"}});
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(get(daemon.address({}, 1), "/").body == "v1\n");
  site.install(probe_v2());
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("the shipped plugins serve") {
  Site site(
      "groups:\n"
      "  hello: {plugin: hello, count: 1, listen: http://127.0.0.1:0, settings: {greeting: "
      "servus}}\n"
      "  c: {plugin: hello-c, count: 1, listen: http://127.0.0.1:0}\n"
      "  slow: {plugin: slow, count: 1, listen: http://127.0.0.1:0}\n");
  for (const std::string name : {"hello", "hello-c", "slow"})
    site.install(shipped_plugin(name), name);
  Daemon daemon(site);
  REQUIRE(get(daemon.address("hello"), "/").body == "servus, world\n");
  REQUIRE(get(daemon.address("c"), "/").ok());
  const auto before = Deadline::Clock::now();
  REQUIRE(get(daemon.address("slow"), "/?ms=200").ok());
  REQUIRE(Deadline::Clock::now() - before >= 200ms);
}

TEST_CASE("a check accepts a good file, says nothing is wrong and starts nothing") {
  Site site(probe_group(1));
  const auto finished = appserverd(site, {"--config", "app.yaml", "--check"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE_FALSE(std::filesystem::exists(site.state_dir()));
}

TEST_CASE("a check names every mistake with its place") {
  Site site("groups:\n  api: {plugin: probe, listen: nonsense, cuont: 2}\n");
  const auto finished = appserverd(site, {"--config", "app.yaml", "--check"});
  INFO(finished.text());
  REQUIRE(finished.exit.code != 0);
  REQUIRE(finished.err.find("app.yaml:7:") != std::string::npos);
  REQUIRE(finished.err.find("cuont") != std::string::npos);
  REQUIRE(finished.err.find("nonsense") != std::string::npos);
}

TEST_CASE("what --dump-config prints is a configuration of the same meaning") {
  Site site(probe_group(2, "    settings: {a: [1, two], b: {c: d}}\n"));
  const auto first = appserverd(site, {"--config", "app.yaml", "--dump-config"});
  INFO(first.text());
  REQUIRE(first.exit.code == 0);
  write_file(site.root() / "dumped.yaml", first.out);
  const auto second = appserverd(site, {"--config", "dumped.yaml", "--dump-config"});
  INFO(second.text());
  REQUIRE(second.exit.code == 0);
  REQUIRE(second.out == first.out);
}

TEST_CASE("the quickstart configuration is good") {
  Site site(probe_group(1));
  const auto finished = appserverd(site, {"--config", APPSERVER_QUICKSTART, "--check"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

TEST_CASE(
    "a configuration that is not there, or a plugin that is not there, stops the start by name") {
  Site site("groups:\n  api: {plugin: absent, listen: http://127.0.0.1:0}\n");
  const auto no_file = appserverd(site, {"--config", "absent.yaml"});
  INFO(no_file.text());
  REQUIRE(no_file.exit.code > 0);
  REQUIRE(no_file.err.find("absent.yaml") != std::string::npos);
  const auto no_plugin = appserverd(site, {"--config", "app.yaml"});
  INFO(no_plugin.text());
  REQUIRE(no_plugin.exit.code > 0);
  REQUIRE(no_plugin.err.find("absent.so") != std::string::npos);
}

TEST_CASE("the command line refuses what it does not know, and explains itself") {
  Site site(probe_group(1));
  const auto unknown = appserverd(site, {"--nonsense"});
  INFO(unknown.text());
  REQUIRE(unknown.exit.code == 2);
  REQUIRE(unknown.err.find("--nonsense") != std::string::npos);
  const auto help = appserverd(site, {"--help"});
  REQUIRE(help.exit.code == 0);
  REQUIRE(help.out.find("--config") != std::string::npos);
  const auto version = appserverd(site, {"--version"});
  REQUIRE(version.exit.code == 0);
  REQUIRE(version.out.find("appserverd") != std::string::npos);
}

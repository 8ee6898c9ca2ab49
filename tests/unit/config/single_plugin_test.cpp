#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

Lines problems(const std::filesystem::path& plugin, const Lines& listen, std::uint32_t count,
               const std::filesystem::path& directory = "/srv") {
  try {
    single_plugin(plugin, listen, count, directory);
  } catch (const ConfigError& error) {
    Lines lines;
    for (const Problem& problem : error.problems()) lines.push_back(to_string(problem));
    return lines;
  }
  return {};
}

}  // namespace

TEST_CASE("a plugin on the command line is one group with defaults around it") {
  const Config config =
      single_plugin("build/hello.so", {"http://127.0.0.1:8080", "http://unix:a.sock"}, 2, "/srv");
  CHECK(config.file.empty());
  CHECK(config.daemon.control_socket == "/srv/run/appserverd.sock");
  CHECK(config.daemon.state_dir == "/srv/state");
  CHECK(config.daemon.plugins == Plugins{"/srv/plugins", 5, false});
  REQUIRE(config.groups.size() == 1);
  const Group& group = config.groups[0];
  CHECK(group.name == "hello");
  CHECK(group.plugin == "/srv/build/hello.so");
  CHECK(group.count == 2);
  REQUIRE(group.listen.size() == 2);
  CHECK(group.listen[1].unix_path == "/srv/a.sock");
  CHECK(group.settings == "{}");
}

TEST_CASE("the group's name is made from the file's") {
  const auto name = [](const std::string& plugin) {
    return single_plugin(plugin, {}, 1, "/srv").groups.at(0).name;
  };
  CHECK(name("/opt/My Plugin.so") == "my-plugin");
  CHECK(name("7up.so") == "plugin-7up");
  CHECK(name("_x.so") == "plugin-_x");
  CHECK(name("hello") == "hello");
  CHECK(name("watch.so") == "plugin-watch");
  CHECK(name("shop-1.2.so") == "shop-1-2");
  CHECK(name(std::string(60, 'x') + ".so") == std::string(32, 'x'));
}

TEST_CASE("a wrong option is named, all of them at once") {
  CHECK(problems("./hello.so", {"127.0.0.1:8080"}, 0) ==
        Lines{"--count: expected a number from 1 to 1024, or auto, got '0'",
              "--listen: expected an address such as http://127.0.0.1:8080, got '127.0.0.1:8080'; "
              "write "
              "http://127.0.0.1:8080"});
  CHECK(problems("", {}, 1) ==
        Lines{"--plugin: expected the path of a plugin such as ./hello.so, got ''"});
  CHECK(problems("plugins/", {}, 1).size() == 1);
  CHECK(
      problems("p.so", {"http://*:80", "http://*:80"}, 1) ==
      Lines{"--listen: groups.p: http://*:80 is listened on twice; first by groups.p at --listen"});
  CHECK(problems("p.so", {}, 1, "/" + std::string(120, 'd')).size() == 1);
}

#include "config/load.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;
using namespace std::chrono_literals;

TEST_CASE("one group with a plugin is a whole configuration, all else has a default") {
  const Config config = load_yaml("groups: {api: {plugin: hello}}");
  CHECK(config.file == "/srv/app.yaml");
  CHECK(config.daemon.control_socket == "/srv/run/appserverd.sock");
  CHECK(config.daemon.state_dir == "/srv/state");
  CHECK(config.daemon.plugins == Plugins{"/srv/plugins", 5, false});
  CHECK(config.daemon.log == Log{});
  REQUIRE(config.groups.size() == 1);
  Group expected;
  expected.name = "api";
  expected.plugin = "/srv/plugins/hello.so";
  CHECK(config.groups.at(0) == expected);
  CHECK(expected.count == 1);
  CHECK(expected.reloadable);
  CHECK(expected.settings == "{}");
}

TEST_CASE("the keys of the daemon are read, its paths relative to the file") {
  const Daemon daemon = load_yaml(
                            "daemon:\n"
                            "  control: {socket: ../run/ctl.sock}\n"
                            "  state_dir: /var/lib/appserver/\n"
                            "  plugins: {dir: ./lib, keep: 1000, watch: true}\n"
                            "  log: {level: error, format: journald}\n"
                            "groups: {api: {plugin: hello}}\n")
                            .daemon;
  CHECK(daemon.control_socket == "/run/ctl.sock");
  CHECK(daemon.state_dir == "/var/lib/appserver");
  CHECK(daemon.plugins == Plugins{"/srv/lib", 1000, true});
  CHECK(daemon.log == Log{LogLevel::error, LogFormat::journald});
}

TEST_CASE("the number of builds to keep has bounds") {
  const auto problems = [](const std::string& keep) {
    return problems_of("daemon: {plugins: {keep: " + keep + "}}\ngroups: {api: {plugin: p}}\n");
  };
  CHECK(problems("0") == Lines{"app.yaml:1:26: daemon.plugins.keep: expected a number from 1 to "
                               "1000, got '0'"});
  CHECK(problems("1001").size() == 1);
  CHECK(problems("1").empty());
}

TEST_CASE("the memory of the bus has a default and a lower bound") {
  const auto file = [](const std::string& memory) {
    return "daemon: {bus: {memory: " + memory + "}}\ngroups: {api: {plugin: p}}\n";
  };
  CHECK(load_yaml(file("5MiB")).daemon.bus.memory == Bytes{5 << 20});
  CHECK(load_yaml("groups: {api: {plugin: p}}\n").daemon.bus.memory == Bytes{64 << 20});
  CHECK(load_yaml(file("1MiB")).daemon.bus.memory == Bytes{1 << 20});
  CHECK(problems_of(file("1023KiB")) ==
        Lines{"app.yaml:1:24: daemon.bus.memory: expected a size of at least 1MiB, got '1023KiB'"});
  CHECK(problems_of(file("lots")) ==
        Lines{"app.yaml:1:24: daemon.bus.memory: expected a size such as 10MiB, got 'lots'"});
  CHECK(problems_of("daemon: {bus: {memry: 1GiB}}\ngroups: {api: {plugin: p}}\n").size() == 1);
}

TEST_CASE("a key that has moved is refused with its new place") {
  CHECK(problems_of("daemon: {plugin_dir: lib}\ngroups: {api: {plugin: p}}\n") ==
        Lines{"app.yaml:1:10: unknown key 'plugin_dir' in daemon; write daemon.plugins.dir "
              "instead"});
}

TEST_CASE("a section whose keys are all commented out is as if it were absent") {
  CHECK(problems_of("daemon:\ninclude:\ngroups:\n  api:\n    plugin: p\n    reload:\n    limits:\n"
                    "    rlimits:\n    environment:\n    settings:\n")
            .empty());
}

TEST_CASE("all problems are told at once, in the order of the file") {
  const Lines expected = {
      "app.yaml:1:1: unknown key 'deamon' at the top level; did you mean 'daemon'?",
      "app.yaml:3:3: groups.api: 'plugin' is missing; add plugin: NAME",
      "app.yaml:4:5: unknown key 'cuont' in groups.api; did you mean 'count'?",
      "app.yaml:5:17: groups.api.reloadable: expected true or false, got 'yes'",
      "app.yaml:6:29: groups.api.reload.start_timeout: expected a duration such as 30s, got 'abc'",
      "app.yaml:7:24: groups.api.limits.max_body: expected a size such as 10MiB, got '10M'; the "
      "units are B, KB, "
      "MB, GB, TB, KiB, MiB, GiB and TiB",
      "app.yaml:8:3: groups.jobs: 'plugin' is missing; add plugin: NAME",
  };
  const std::string text =
      "deamon: {}\n"
      "groups:\n"
      "  api:\n"
      "    cuont: 2\n"
      "    reloadable: yes\n"
      "    reload: {start_timeout: abc}\n"
      "    limits: {max_body: 10M}\n"
      "  jobs: {}\n";
  CHECK(problems_of(text) == expected);
}

TEST_CASE("what() has a line for each problem") {
  try {
    load_text("a: 1\nb: 2\n", "app.yaml");
    FAIL("loaded");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()) ==
          "app.yaml:1:1: unknown key 'a' at the top level; known are daemon, groups and include\n"
          "app.yaml:2:1: unknown key 'b' at the top level; known are daemon, groups and include");
  }
}

TEST_CASE("a value of the wrong kind is named, and so is what was expected") {
  CHECK(problems_of("- a\n") ==
        Lines{"app.yaml:1:1: the top level: expected a mapping, got a list"});
  CHECK(problems_of("groups: [a]\n") ==
        Lines{"app.yaml:1:9: groups: expected a mapping of names to groups, got a list"});
  CHECK(problems_of("groups: {api: hello}\n") ==
        Lines{"app.yaml:1:15: groups.api: expected a mapping, got 'hello'"});
  CHECK(group_problems("    count:\n") == Lines{"app.yaml:4:5: groups.api.count: expected a number "
                                                "from 1 to 1024, or auto, got nothing"});
  CHECK(group_problems("    count: [1]\n") == Lines{"app.yaml:4:12: groups.api.count: expected a "
                                                    "number from 1 to 1024, or auto, got a list"});
}

TEST_CASE("a configuration without groups is refused") {
  const Lines none = {
      "app.yaml: no groups; add at least one, such as groups: {api: {plugin: hello}}"};
  CHECK(problems_of("") == none);
  CHECK(problems_of("# nothing\n") == none);
  CHECK(problems_of("groups:\n") == none);
  CHECK(problems_of("daemon: {state_dir: x}\ngroups: {}\n") == none);
  CHECK(problems_of("daemon: {plugins: {watch: false}}\n") == none);
}

TEST_CASE("the groups keep the order of the file") {
  const Config config = load_yaml("groups: {z: {plugin: p}, a: {plugin: p}, m: {plugin: p}}");
  REQUIRE(config.groups.size() == 3);
  CHECK(config.groups[0].name == "z");
  CHECK(config.groups[1].name == "a");
  CHECK(config.groups[2].name == "m");
}

TEST_CASE("a control socket whose path is too long is refused where it is said") {
  const std::string path = "/" + std::string(120, 'a');
  CHECK(problems_of("daemon: {control: {socket: " + path + "}}\ngroups: {api: {plugin: p}}\n") ==
        Lines{"app.yaml:1:28: daemon.control.socket: the path of a unix socket has at most 107 "
              "bytes, and " +
              path + " has 121; choose a shorter one"});
}

TEST_CASE("a message is fit for a terminal") {
  const Lines lines = group_problems("    count: \"\\e[31m" + std::string(200, 'x') + "\"\n");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find('\x1b') == std::string::npos);
  CHECK(lines[0].find("got '\\x1b[31mxxx") != std::string::npos);
  CHECK(lines[0].size() < 160);
}

TEST_CASE("a file is read with its own path, relative to its own folder") {
  const TemporaryFolder folder;
  const auto file = folder.write("etc/app.yaml", "groups: {api: {plugin: ./hello.so}}");
  const Config config = load_file(file);
  CHECK(config.file == file);
  CHECK(config.groups.at(0).plugin == folder.path() / "etc/hello.so");
}

TEST_CASE("the process environment is what variables come from by default") {
  REQUIRE(::setenv("APPSERVER_CONFIG_TEST", "from-env", 1) == 0);
  CHECK(process_environment()("APPSERVER_CONFIG_TEST") == "from-env");
  REQUIRE(::unsetenv("APPSERVER_CONFIG_TEST") == 0);
  CHECK_FALSE(process_environment()("APPSERVER_CONFIG_TEST"));
}

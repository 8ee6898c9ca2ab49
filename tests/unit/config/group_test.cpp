#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;
using namespace std::chrono_literals;

TEST_CASE("every key of reload and limits is read") {
  const Group group = load_group(
      "    count: 3\n"
      "    reloadable: false\n"
      "    reload:\n"
      "      surge: 2\n"
      "      start_timeout: 5s\n"
      "      min_ready: 250ms\n"
      "      drain_timeout: 1m\n"
      "      probe: /ready\n"
      "      deadline: 1s\n"
      "      confirm_within: 0s\n"
      "      reserve_memory: 1GiB\n"
      "      close_spread: 7s\n"
      "      canary: {slots: 2, hold: 5m, min_requests: 0, on_inconclusive: rollback}\n"
      "    limits: {max_connections: 5, max_body: 1GiB, header_timeout: 1s, idle_timeout: 2h, "
      "max_message: 1KiB, send_buffer: 2KiB, send_timeout: 3s, stream_idle_timeout: 4s, "
      "ping_interval: 0s}\n");
  CHECK(group.count == 3);
  CHECK_FALSE(group.reloadable);
  CHECK(group.reload == Reload{2, 5s, 250ms, 1min, "/ready", 1s, 0s, Bytes{1u << 30}, 7s,
                               Canary{2, 5min, 0, Inconclusive::roll_back}});
  CHECK(group.limits ==
        Limits{5, Bytes{1u << 30}, 1s, 2h, Bytes{1u << 10}, Bytes{2u << 10}, 3s, 4s, 0s});
}

TEST_CASE("quoted numbers and booleans count as well, so that variables can be quoted") {
  const Group group = load_group("    count: \"3\"\n    reloadable: 'false'\n");
  CHECK(group.count == 3);
  CHECK_FALSE(group.reloadable);
}

TEST_CASE("a plugin is a name in the plugin folder, or a path from the file") {
  const auto plugin = [](const std::string& text) {
    return load_yaml("groups: {api: {plugin: " + text + "}}").groups.at(0).plugin;
  };
  CHECK(plugin("hello") == "/srv/plugins/hello.so");
  CHECK(plugin("hello-1.2") == "/srv/plugins/hello-1.2.so");
  CHECK(plugin("./hello.so") == "/srv/hello.so");
  CHECK(plugin("hello.so") == "/srv/hello.so");
  CHECK(plugin("build/hello") == "/srv/build/hello");
  CHECK(plugin("/opt/hello.so") == "/opt/hello.so");
  CHECK(problems_of("groups: {api: {plugin: ..}}") ==
        Lines{"app.yaml:1:24: groups.api.plugin: expected the name or path of a plugin, got '..'"});
  CHECK(problems_of("groups: {api: {plugin: ''}}").size() == 1);
  CHECK(problems_of("groups: {api: {plugin: ~/hello.so}}") ==
        Lines{"app.yaml:1:24: groups.api.plugin: '~' is not expanded; write ${HOME}/..."});
}

TEST_CASE("a name that a group cannot have is refused with what it can be") {
  CHECK(problems_of("groups: {Api: {plugin: p}}") ==
        Lines{"app.yaml:1:10: 'Api' is not a name for a group; it has 1 to 32 of a-z, 0-9, '_' and "
              "'-', and "
              "begins with a letter"});
}

TEST_CASE("numbers out of their range are refused with the range") {
  CHECK(group_problems("    reload: {surge: 0}\n") ==
        Lines{"app.yaml:4:21: groups.api.reload.surge: expected a number from 1 to 1024, got '0'"});
  CHECK(group_problems("    reload: {surge: 1025}\n").size() == 1);
  CHECK(group_problems("    limits: {max_connections: 0}\n").size() == 1);
  CHECK(group_problems("    limits: {max_connections: 4294967296}\n").size() == 1);
  CHECK(group_problems("    limits: {header_timeout: 0}\n") ==
        Lines{"app.yaml:4:30: groups.api.limits.header_timeout: expected a duration of at least "
              "1ms, got '0'"});
  CHECK(group_problems("    limits: {idle_timeout: 0s}\n").size() == 1);
  CHECK(group_problems("    reload: {start_timeout: 0}\n").size() == 1);
  CHECK(group_problems("    reload: {drain_timeout: 0, min_ready: 0}\n").empty());
  CHECK(group_problems("    reload: {drain_timeout: 30}\n") ==
        Lines{"app.yaml:4:29: groups.api.reload.drain_timeout: expected a duration such as 30s, "
              "got '30'; add a "
              "unit: 30s or 30ms"});
  CHECK(group_problems("    reload: {probe: healthz}\n").size() == 1);
}

TEST_CASE("a size without room, or beyond any machine, is refused with its bound") {
  CHECK(group_problems("    limits: {max_message: 0}\n") ==
        Lines{"app.yaml:4:27: groups.api.limits.max_message: expected a size of at least 1B, got "
              "'0'"});
  CHECK(group_problems("    limits: {send_buffer: 0B}\n").size() == 1);
  CHECK(group_problems("    limits: {max_body: 0}\n").empty());
  CHECK(group_problems("    limits: {max_message: 3GiB}\n").size() == 1);
  CHECK(group_problems("    limits: {send_buffer: 1TiB}\n").size() == 1);
  CHECK(group_problems("    limits: {max_body: 2TiB}\n") ==
        Lines{"app.yaml:4:24: groups.api.limits.max_body: expected a size of at most 1TiB, got "
              "'2TiB'"});
  CHECK(problems_of("daemon: {bus: {memory: 100TiB}}\n") ==
        Lines{"app.yaml:1:24: daemon.bus.memory: expected a size of at most 1TiB, got '100TiB'"});
}

TEST_CASE("unknown keys are refused in every section") {
  CHECK(group_problems("    reload: {probee: /}\n") ==
        Lines{"app.yaml:4:14: unknown key 'probee' in groups.api.reload; did you mean 'probe'?"});
  CHECK(
      group_problems("    limits: {max_bdy: 1}\n") ==
      Lines{"app.yaml:4:14: unknown key 'max_bdy' in groups.api.limits; did you mean 'max_body'?"});
  CHECK(
      group_problems("    rlimits: {nofiles: 1}\n") ==
      Lines{"app.yaml:4:15: unknown key 'nofiles' in groups.api.rlimits; did you mean 'nofile'?"});
  CHECK(problems_of(
            "daemon: {log: {levle: info}, control: {sock: x}}\ngroups: {api: {plugin: p}}\n") ==
        Lines{"app.yaml:1:16: unknown key 'levle' in daemon.log; did you mean 'level'?",
              "app.yaml:1:40: unknown key 'sock' in daemon.control; did you mean 'socket'?"});
}

TEST_CASE("a group cannot have the name of something else to reload") {
  for (const std::string name : {"abort", "confirm", "continue", "status", "watch"}) {
    CHECK(problems_of("groups: {" + name + ": {plugin: p}}") ==
          Lines{"app.yaml:1:10: a group cannot be called '" + name + "': appserverctl reload " +
                name + " means something else; choose another name"});
  }
  CHECK(problems_of("groups: {watcher: {plugin: p}}").empty());
}

TEST_CASE("the number of groups is bounded") {
  std::string text = "groups:\n";
  for (int i = 0; i < 1025; ++i) text += "  g" + std::to_string(i) + ": {plugin: p}\n";
  CHECK(problems_of(text) == Lines{"app.yaml:1026:3: more than 1024 groups"});
}

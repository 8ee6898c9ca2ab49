#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

void check_round_trip(const Config& config) {
  const std::string text = dump(config);
  INFO(text);
  const Config again = load_text(text, config.file, environment_of({}));
  CHECK(again.file == config.file);
  CHECK(again.daemon == config.daemon);
  CHECK(again.groups == config.groups);
}

}  // namespace

TEST_CASE("a dump of the defaults loads as the same configuration") {
  check_round_trip(load_yaml("groups: {api: {plugin: hello}}"));
}

TEST_CASE("a dump of every key loads as the same configuration") {
  check_round_trip(load_yaml(
      "daemon: {control: {socket: 'a b.sock'}, state_dir: \"s\\u00e4\", log: {level: debug, "
      "format: json}, plugins: {dir: 'odd: dir', keep: 7, watch: true}, bus: {memory: 3MiB}}\n"
      "groups:\n"
      "  one:\n"
      "    plugin: 'odd: #name'\n"
      "    listen: ['http://*:80', 'http://[::1]:81', 'http://unix:a b', 'ws://localhost:0']\n"
      "    count: 7\n"
      "    reloadable: false\n"
      "    settings: {a: [1, -2.5, x, {}, [], [[1], {k: v}]], b: {c: null, d: true}, 'e f': "
      "\"\\0\\n\\t\\\"\"}\n"
      "    reload: {surge: 3, start_timeout: 1500ms, min_ready: 2m, drain_timeout: 1d, probe: "
      "'/a?b=c&d', deadline: 90s, confirm_within: 0, reserve_memory: 1GB, close_spread: 9s, "
      "canary: {slots: 6, hold: "
      "1h, min_requests: 4294967295, on_inconclusive: rollback}}\n"
      "    recycle: {max_requests: 9223372036854775807, max_memory: 3MiB, max_lifetime: 1d}\n"
      "    hang_timeout: 0\n"
      "    limits: {max_connections: 4294967295, max_body: 1234567, header_timeout: 1ms, "
      "idle_timeout: 90s, max_message: 3, ping_interval: 0s}\n"
      "    user: 'null'\n"
      "    group: 1000\n"
      "    nice: -5\n"
      "    cpu_affinity: [3, 1]\n"
      "    rlimits: {nofile: {soft: 1, hard: unlimited}, as: 1GiB, core: unlimited}\n"
      "    environment: {A: 'true', 'B C': ' x ', D: \"line\\nnext\", E: ''}\n"
      "    working_directory: 'with # and : in it'\n"
      "  two: {plugin: /abs/p.so, settings: [1], count: 2, reload: {canary: {slots: 1, "
      "on_inconclusive: wait}}}\n"
      "  three: {plugin: p, settings: 'just text'}\n"));
}

TEST_CASE("text that looks like a variable stays text through a dump") {
  const Config config = load_yaml(
      "groups: {api: {plugin: './$${X}.so', settings: {'${K}': 'a $${X} $$${Y} $$'}, environment: "
      "{V: '$${Z}'}}}");
  CHECK(config.groups.at(0).settings == R"({"${K}":"a ${X} $${Y} $$"})");
  check_round_trip(config);
}

TEST_CASE("numbers at their limits survive a dump") {
  check_round_trip(
      load_yaml("groups: {api: {plugin: p, settings: [18446744073709551615, -9223372036854775808, "
                "5e-324, 1.7976931348623157e308, -0.0, 0.1]}}"));
}

TEST_CASE("a configuration without a file survives a dump") {
  check_round_trip(single_plugin("hello.so", {"http://127.0.0.1:8080"}, 2, "/srv"));
}

TEST_CASE("a dump reads like a file that a person wrote") {
  CHECK(dump(load_yaml("groups: {api: {plugin: hello, listen: 'http://localhost:80', count: 2, "
                       "settings: {greeting: hi, list: [1]}}}")) ==
        "daemon:\n"
        "  control:\n"
        "    socket: /srv/run/appserverd.sock\n"
        "  state_dir: /srv/state\n"
        "  plugins:\n"
        "    dir: /srv/plugins\n"
        "    keep: 5\n"
        "    watch: false\n"
        "  bus:\n"
        "    memory: 64MiB\n"
        "  log:\n"
        "    level: info\n"
        "    format: text\n"
        "groups:\n"
        "  api:\n"
        "    plugin: /srv/plugins/hello.so\n"
        "    listen:\n"
        "      - http://127.0.0.1:80\n"
        "    count: 2\n"
        "    reloadable: true\n"
        "    settings:\n"
        "      \"greeting\": \"hi\"\n"
        "      \"list\":\n"
        "        - 1\n"
        "    reload:\n"
        "      surge: 1\n"
        "      start_timeout: 30s\n"
        "      min_ready: 0s\n"
        "      drain_timeout: 30s\n"
        "      deadline: 30m\n"
        "      confirm_within: 2m\n"
        "      reserve_memory: 0\n"
        "      close_spread: 5s\n"
        "      canary:\n"
        "        slots: 0\n"
        "        hold: 30s\n"
        "        min_requests: 100\n"
        "        on_inconclusive: continue\n"
        "    limits:\n"
        "      max_connections: 10000\n"
        "      max_body: 10MiB\n"
        "      header_timeout: 10s\n"
        "      idle_timeout: 75s\n"
        "      max_message: 1MiB\n"
        "      send_buffer: 1MiB\n"
        "      send_timeout: 30s\n"
        "      stream_idle_timeout: 0s\n"
        "      ping_interval: 30s\n"
        "    recycle:\n"
        "      max_requests: 0\n"
        "      max_memory: 0\n"
        "      max_lifetime: 0s\n"
        "    compress: false\n"
        "    proxy_protocol: false\n"
        "    hang_timeout: 30s\n");
}

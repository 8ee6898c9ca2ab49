// The promise for connections that carry messages: they outlive reload after reload, with their
// state, and no message is lost, doubled or out of order.
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "support/daemon.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

std::filesystem::path talk_build(const char* version, const std::string& kind = "talk") {
  return std::filesystem::path(APPSERVER_TEST_PLUGINS) / version / (kind + ".so");
}

std::string group(const std::string& listen, int count, const std::string& more = {}) {
  return "groups:\n  api:\n    plugin: talk\n    listen: '" + listen +
         "'\n    count: " + std::to_string(count) + "\n" + more;
}

void reload_to(Daemon& daemon, Site& site, const char* version, const std::string& kind = "talk") {
  site.install(talk_build(version, kind), "talk");
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

void reload_again_and_again(const std::string& listen, const WebSocketWish& wish = {},
                            const std::string& kind = "talk") {
  INFO(listen);
  Site site(group(listen, 2));
  site.install(talk_build("v1", kind), "talk");
  Daemon daemon(site);
  TalkLoad load(daemon.address(), 12, wish);
  load.wait_for_more(100);
  for (int round = 0; round < 8; ++round) {
    reload_to(daemon, site, round % 2 == 0 ? "v2" : "v1", kind);
    load.wait_for_more(50);
  }
  CHECK(load.stop() == std::vector<std::string>{});
}

}  // namespace

TEST_CASE("lines survive reload after reload under load") {
  reload_again_and_again("text://127.0.0.1:0");
}

TEST_CASE("frames survive reload after reload under load") {
  reload_again_and_again("frame://127.0.0.1:0");
}

TEST_CASE("bare tcp connections survive reload after reload under load") {
  reload_again_and_again("tcp://127.0.0.1:0");
}

TEST_CASE("WebSockets survive reload after reload under load") {
  const bool deflate = GENERATE(false, true);
  const std::string scheme = GENERATE("ws", "http");
  WebSocketWish wish;
  wish.deflate = deflate;
  INFO((deflate ? "compressed" : "not compressed"));
  reload_again_and_again(scheme + "://127.0.0.1:0", wish);
}

TEST_CASE("frames over a unix socket survive reload after reload under load") {
  reload_again_and_again("frame://unix:run/frames.sock");
}

TEST_CASE("a silent connection is the new build's after a reload, with what it had") {
  Site site(group("text://127.0.0.1:0", 1));
  site.install(talk_build("v1"), "talk");
  Daemon daemon(site);
  Talk talk(daemon.address());
  CHECK(talk.ask("one") == "v1 1 one");
  talk.send_bytes("tw");
  reload_to(daemon, site, "v2");
  talk.send_bytes("o\n");
  CHECK(talk.receive() == "v2 2 two");
}

TEST_CASE("what a slow client has not taken yet goes along to the successor") {
  Site site(group("frame://127.0.0.1:0", 1));
  site.install(talk_build("v1"), "talk");
  Daemon daemon(site);
  Talk talk(daemon.address());
  talk.send("flood 20000");
  CHECK(talk.receive().value_or("").size() == 1000);
  reload_to(daemon, site, "v2");
  for (int i = 1; i < 20'000; ++i) {
    if (talk.receive().value_or("").size() != 1000) FAIL("answer " << i << " is missing");
  }
  CHECK(talk.ask("on") == "v2 2 on");
}

TEST_CASE("connections that the plugin does not let go are answered and then closed") {
  Site site(group("text://127.0.0.1:0", 1));
  site.install(talk_build("v1", "talk_plain"), "talk");
  Daemon daemon(site);
  Talk silent(daemon.address());
  CHECK(silent.ask("one") == "v1 1 one");
  reload_to(daemon, site, "v2", "talk_plain");
  CHECK(silent.closed_by_server());
  Talk next(daemon.address());
  CHECK(next.ask("one") == "v2 1 one");
}

TEST_CASE("WebSockets that the plugin does not let go are closed with 1001") {
  Site site(group("ws://127.0.0.1:0", 1, "    reload: {close_spread: 500ms}\n"));
  site.install(talk_build("v1", "talk_plain"), "talk");
  Daemon daemon(site);
  std::vector<Talk> talks;
  for (int i = 0; i < 5; ++i) {
    talks.emplace_back(daemon.address());
    CHECK(talks.back().ask("one") == "v1 1 one");
  }
  site.install(talk_build("v2", "talk_plain"), "talk");
  Process reload = daemon.begin_ctl({"reload"});
  for (Talk& talk : talks) {
    CHECK(talk.closed_by_server());
    CHECK(talk.close_code() == 1001);
  }
  CHECK(reload.wait(60s) == Exit{0});
  Talk next(daemon.address());
  CHECK(next.ask("one") == "v2 1 one");
}

TEST_CASE("a ws:// listener stays one for connections that moved before their handshake") {
  Site site(group("ws://127.0.0.1:0", 1));
  site.install(talk_build("v1"), "talk");
  Daemon daemon(site);
  Talk talk(daemon.address());
  Endpoint raw = daemon.address();
  raw.scheme = "tcp";
  Talk other(raw);
  CHECK(talk.ask("one") == "v1 1 one");
  reload_to(daemon, site, "v2");
  other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(other.receive().value_or("").starts_with("HTTP/1.1 426 "));
}

TEST_CASE("a build without the hooks takes no connection over, and the others go on") {
  Site site(group("text://127.0.0.1:0", 1));
  site.install(talk_build("v1"), "talk");
  Daemon daemon(site);
  Talk talk(daemon.address());
  CHECK(talk.ask("one") == "v1 1 one");
  reload_to(daemon, site, "v2", "talk_plain");
  CHECK(talk.closed_by_server());
  Talk next(daemon.address());
  CHECK(next.ask("one") == "v2 1 one");
}

TEST_CASE(
    "a reload that is rolled back brings connections back to the old build, with their state") {
  Site site(group("text://127.0.0.1:0", 2));
  site.install(talk_build("v1"), "talk");
  Daemon daemon(site);
  TalkLoad load(daemon.address(), 6);
  load.wait_for_more(50);
  reload_to(daemon, site, "v2");
  load.wait_for_more(50);
  const Finished back = daemon.ctl({"rollback"});
  INFO(back.text());
  CHECK(back.exit.code == 0);
  load.wait_for_more(50);
  CHECK(load.stop() == std::vector<std::string>{});
  Talk talk(daemon.address());
  CHECK(talk.ask("one") == "v1 1 one");
}

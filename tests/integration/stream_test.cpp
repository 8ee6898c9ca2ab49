// Connections that carry messages, against the real daemon.
#include <catch2/catch.hpp>
#include <csignal>
#include <string>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

std::filesystem::path talk_v1(const std::string& kind = "talk") {
  return std::filesystem::path(APPSERVER_TEST_PLUGINS) / "v1" / (kind + ".so");
}

std::string talk_group(const std::string& listen, const std::string& more = {}) {
  return "groups:\n  api:\n    plugin: talk\n    listen: [" + listen + "]\n" + more;
}

struct TalkSite : Site {
  TalkSite(const std::string& groups, const std::string& kind) : Site(groups) {
    install(talk_v1(kind), "talk");
  }
};

struct Talking {
  explicit Talking(const std::string& listen, const std::string& more = {},
                   const std::string& kind = "talk")
      : site(talk_group(listen, more), kind), daemon(site) {}

  TalkSite site;
  Daemon daemon;
};

}  // namespace

TEST_CASE("one group listens with every protocol at once") {
  Talking talking(
      "'text://127.0.0.1:0', 'frame://127.0.0.1:0', 'tcp://127.0.0.1:0', 'http://127.0.0.1:0', "
      "'text://unix:run/text.sock', 'frame://unix:run/frame.sock', 'tcp://[::1]:0'");
  for (const std::size_t index : {0U, 1U, 2U, 4U, 5U, 6U}) {
    const Endpoint endpoint = talking.daemon.address("api", index);
    INFO(endpoint.text());
    Talk talk(endpoint);
    CHECK(talk.ask("hello") == "v1 1 hello");
    CHECK(talk.ask("again") == "v1 2 again");
    CHECK(talk.ask("info").starts_with(endpoint.scheme + " " + endpoint.scheme + "://"));
  }
  CHECK(get(talking.daemon.address("api", 3), "/").body == "v1\n");
}

TEST_CASE("a WebSocket is served at ws:// and at http://, beside requests") {
  Talking talking("'ws://127.0.0.1:0', 'http://127.0.0.1:0', 'ws://unix:run/ws.sock'");
  for (const std::size_t index : {0U, 1U, 2U}) {
    const Endpoint endpoint = talking.daemon.address("api", index);
    INFO(endpoint.text());
    Talk talk(endpoint, 15s, {"/greeting", "chat, talk", index == 1});
    CHECK(talk.opened().find("Sec-WebSocket-Protocol: talk\r\n") != std::string::npos);
    CHECK(talk.receive() == "welcome");
    CHECK(talk.ask(std::string(1000, 'x')) == "v1 1 " + std::string(1000, 'x'));
    const std::string info = talk.ask("info");
    CHECK(info.starts_with("websocket " + endpoint.scheme + "://"));
    CHECK(info.ends_with(" talk"));
    talk.send("close 4001");
    CHECK(talk.closed_by_server());
    CHECK(talk.close_code() == 4001);
    CHECK(talk.close_reason() == "as asked");
  }
  CHECK(get(talking.daemon.address("api", 1), "/").body == "v1\n");
  CHECK(get(talking.daemon.address("api", 1), "/closes").body == "3 1 4001\n");
  CHECK(get(talking.daemon.address("api", 0), "/").status == 426);
}

TEST_CASE("a handshake is refused by the plugin, or because its hook fails") {
  Talking talking("'http://127.0.0.1:0'");
  const Endpoint endpoint = talking.daemon.address();
  const auto answer = [&](const std::string& path) {
    try {
      const Talk talk(endpoint, 15s, {path});
      return talk.opened();
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
  };
  CHECK(answer("/refused").starts_with("refused: HTTP/1.1 403 Forbidden\r\n"));
  CHECK(answer("/refused").find("403 Forbidden: not for you\n") != std::string::npos);
  talking.daemon.expect_error("as the path says");
  CHECK(answer("/throw").starts_with("refused: HTTP/1.1 500 Internal Server Error\r\n"));
  talking.daemon.wait_for_log("on_websocket_open: std::runtime_error: as the path says");
  CHECK(get(endpoint, "/closes").body == "0 0 0\n");
  CHECK(answer("/").starts_with("HTTP/1.1 101 "));
}

TEST_CASE("a plugin that takes no messages is refused by name, and so is one without HTTP") {
  Site site(probe_group(1));
  Daemon daemon(site);
  site.configure(
      "groups:\n  api: {plugin: probe, listen: ['http://127.0.0.1:0', 'text://127.0.0.1:0']}\n");
  const Finished refused = daemon.ctl({"reload"});
  CHECK(refused.exit.code != 0);
  CHECK(refused.text().find("does not take messages") != std::string::npos);
  CHECK(refused.text().find("text://127.0.0.1:0") != std::string::npos);
  daemon.expect_error("does not take messages");
  daemon.expect_error("reload");
  CHECK(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("an exception in on_message is logged and counted, and the plugin may answer it") {
  Talking talking("'text://127.0.0.1:0'");
  Talk talk(talking.daemon.address());
  CHECK(talk.ask("throw") == "v1 error");
  CHECK(talk.ask("on") == "v1 2 on");
  talking.daemon.expect_error("as it was asked to");
  talking.daemon.wait_for_log("on_message: std::runtime_error: as it was asked to");
}

TEST_CASE("what a plugin closes is answered first, what it aborts is reset") {
  Talking talking("'text://127.0.0.1:0', 'http://127.0.0.1:0'");
  Talk closed(talking.daemon.address());
  CHECK(closed.ask("close") != "");
  CHECK(closed.closed_by_server());
  Talk aborted(talking.daemon.address());
  aborted.send("abort");
  CHECK_THROWS(aborted.closed_by_server());
  // 1 is APPSERVER_CLOSED_BY_PLUGIN.
  CHECK(get(talking.daemon.address("api", 1), "/closes").body == "2 1 0\n");
}

TEST_CASE("a message over limits.max_message ends the connection and nothing else") {
  Talking talking("'frame://127.0.0.1:0'", "    limits: {max_message: 1KiB}\n");
  Talk fine(talking.daemon.address());
  CHECK(fine.ask(std::string(1000, 'x')).size() > 1000);
  Talk over(talking.daemon.address());
  over.send(std::string(1025, 'x'));
  CHECK(over.closed_by_server());
  CHECK(fine.ask("still") == "v1 2 still");
}

TEST_CASE(
    "a client that reads slowly gets everything, and the worker keeps no more than its bound") {
  Talking talking("'frame://127.0.0.1:0'", "    limits: {send_buffer: 64KiB}\n");
  Talk talk(talking.daemon.address());
  talk.send("flood 50000");
  for (int i = 0; i < 50'000; ++i) {
    if (talk.receive().value_or("").size() != 1000) FAIL("answer " << i << " is missing");
  }
  CHECK(talk.ask("on") == "v1 2 on");
}

TEST_CASE("a plugin's own framing cuts what comes over tcp") {
  Talking talking("'tcp://127.0.0.1:0'", "", "talk_own");
  Talk talk(talking.daemon.address());
  CHECK(talk.ask("a;") == "v1 1 a;");
  talk.send_bytes("b");
  talk.send_bytes("c;");
  CHECK(talk.receive() == "v1 2 bc;");
  talk.send_bytes("!");
  CHECK(talk.closed_by_server());
  talking.daemon.expect_error("a '!' is no message");
}

TEST_CASE("a worker that crashes takes its own connections along, and the next one serves") {
  Talking talking("'text://127.0.0.1:0'");
  Talk talk(talking.daemon.address());
  CHECK(talk.ask("one") == "v1 1 one");
  talk.send("crash");
  CHECK_THROWS_AS(talk.ask("two"), std::runtime_error);
  talking.daemon.expect_error("SIGSEGV");
  talking.daemon.expect_error("at ");
  talking.daemon.expect_error("crash record");
  Talk next(talking.daemon.address());
  CHECK(next.ask("one") == "v1 1 one");
  eventually("the crash record names the hook", 30s, [&] {
    return talking.daemon.ctl({"crashes", "show", "1"}).text().find("on_message") !=
           std::string::npos;
  });
}

TEST_CASE("a stop closes WebSockets with 1001") {
  Talking talking("'ws://127.0.0.1:0'", "    reload: {close_spread: 500ms}\n");
  Talk one(talking.daemon.address());
  Talk other(talking.daemon.address());
  CHECK(one.ask("one") == "v1 1 one");
  talking.daemon.process().signal(SIGTERM);
  CHECK(one.closed_by_server());
  CHECK(one.close_code() == 1001);
  CHECK(other.closed_by_server());
  CHECK(other.close_code() == 1001);
  talking.daemon.has_ended(Exit{0});
}

TEST_CASE("a stop ends silent connections without a reset") {
  Talking talking("'text://127.0.0.1:0'");
  Talk talk(talking.daemon.address());
  CHECK(talk.ask("one") == "v1 1 one");
  talking.daemon.process().signal(SIGTERM);
  CHECK(talk.closed_by_server());
  talking.daemon.has_ended(Exit{0});
}

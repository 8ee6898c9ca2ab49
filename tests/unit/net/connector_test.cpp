#include "net/client/connector.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "connector_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace net::client;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

TEST_CASE("an outbound connection sends and gets messages, and counts as no client") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.until("\n"));
    client.send("one\r\ntwo\n");
    client.wait_for_end();
  });
  Connecting connecting;
  auto& events = *connecting.events;
  events.opens = [&](appserver_connection id) {
    return connecting.server.send(id, kText, "hello") == APPSERVER_OK;
  };
  REQUIRE(connecting.start(local(server, "text")) != 0);
  CHECK(events.opened.empty());
  REQUIRE(connecting.until([&] { return events.messages.size() == 2; }));
  CHECK(events.messages == std::vector<std::string>{"one", "two"});
  CHECK(server.notes() == std::vector<std::string>{"hello\n"});
  CHECK(connecting.server.connections() == 0);
  CHECK(connecting.server.outbound() == 1);
  CHECK(connecting.page.connections.get() == 0);
  CHECK(connecting.page.requests.get() == 0);
  CHECK(connecting.script.connected.empty());
  appserver_connection_info info{};
  info.size = sizeof(info);
  REQUIRE(connecting.server.info(events.opened.front(), info) == APPSERVER_OK);
  CHECK(std::string(info.listener.data, info.listener.size) == local(server, "text"));
  connecting.server.close(events.opened.front(), 0, {});
  REQUIRE(connecting.ends());
  CHECK(events.ended.front().reason == APPSERVER_CLOSED_BY_PLUGIN);
  CHECK_FALSE(events.ended.front().again);
  CHECK(connecting.server.outbound() == 0);
  CHECK(connecting.connector.size() == 0);
}

TEST_CASE("a connect that fails is told with its reason, and ends where no retry was asked for") {
  Connecting connecting;
  std::string closed_port;
  { closed_port = ScriptedServer(nullptr).port(); }
  connecting.start("tcp://127.0.0.1:" + closed_port);
  REQUIRE(connecting.fails());
  const auto& failed = connecting.events->failures.front();
  CHECK(failed.failure == Failure::connect);
  CHECK(failed.why ==
        "tcp://127.0.0.1:" + closed_port + ": connection refused (127.0.0.1:" + closed_port + ")");
  CHECK_FALSE(failed.again);
  CHECK(connecting.connector.size() == 0);
}

TEST_CASE("a URL or an option that is wrong is told, and not tried again") {
  Connecting connecting;
  ConnectOptions options;
  options.retries = ConnectOptions::kForever;
  std::string url = "gopher://x:1";
  SECTION("a scheme") {}
  SECTION("a header for what is no WebSocket") {
    url = "text://127.0.0.1:1";
    options.websocket.fields = {{"Origin", "x"}};
  }
  SECTION("a header of the handshake") {
    url = "ws://127.0.0.1:1";
    options.websocket.fields = {{"Sec-WebSocket-Key", "x"}};
  }
  SECTION("a subprotocol that is none") {
    url = "ws://127.0.0.1:1";
    options.websocket.subprotocols = {"a,b"};
  }
  connecting.start(url, options);
  REQUIRE(connecting.fails());
  CHECK(connecting.events->failures.front().failure == Failure::request);
  CHECK_FALSE(connecting.events->failures.front().again);
}

TEST_CASE("a peer that does not come to its end of the handshake is given up in time") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.wait_for_end();
    self.note("ended");
  });
  Connecting connecting;
  ConnectOptions options;
  options.connect_timeout = 150ms;
  connecting.start(local(server, GENERATE("ws", "tls")), options);
  REQUIRE(connecting.fails());
  CHECK(connecting.events->failures.front().failure == Failure::timeout);
  CHECK_THAT(connecting.events->failures.front().why, Contains("within 150 ms"));
  CHECK(connecting.until([&] { return !server.notes().empty(); }));
}

TEST_CASE("an attempt is repeated after a growing delay, as often as asked for") {
  Connecting connecting;
  std::string closed_port;
  { closed_port = ScriptedServer(nullptr).port(); }
  ConnectOptions options;
  options.retries = 3;
  options.min_delay = 10ms;
  options.max_delay = 40ms;
  connecting.start("tcp://127.0.0.1:" + closed_port, options);
  auto& failures = connecting.events->failures;
  REQUIRE(connecting.until([&] { return failures.size() == 4; }));
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(failures.at(i).again);
    CHECK(*failures.at(i).again >= 10ms);
    CHECK(*failures.at(i).again <= (i == 0 ? 20ms : 40ms));
  }
  CHECK_FALSE(failures.at(3).again);
}

TEST_CASE("a lost connection is opened again") {
  ScriptedServer server([](ScriptedServer& self) {
    for (int i = 0; i < 2; ++i) self.accept().send("hello\n");
    Accepted client = self.accept();
    client.send("at last\n");
    client.wait_for_end();
  });
  Connecting connecting;
  ConnectOptions options;
  options.retries = 2;
  options.min_delay = 10ms;
  connecting.start(local(server, "text"), options);
  auto& events = *connecting.events;
  REQUIRE(connecting.until([&] { return events.messages.size() == 3; }));
  CHECK(events.messages.back() == "at last");
  REQUIRE(events.ended.size() == 2);
  CHECK(events.ended.front().reason == APPSERVER_CLOSED_BY_PEER);
  CHECK(events.ended.front().again);
}

TEST_CASE("a handler that fails ends the connection, and another one is opened") {
  ScriptedServer server([](ScriptedServer& self) {
    for (int i = 0; i < 2; ++i) {
      Accepted client = self.accept();
      client.send("hello\n");
      client.wait_for_end();
    }
  });
  Connecting connecting;
  auto& events = *connecting.events;
  const bool in_open = GENERATE(true, false);
  events.opens = [&](appserver_connection) { return !in_open || events.opened.size() > 1; };
  events.hears = [&](appserver_connection) {
    return !in_open && events.messages.size() == 1 ? net::StreamHandler::Outcome::fatal
                                                   : net::StreamHandler::Outcome::good;
  };
  ConnectOptions options;
  options.retries = 1;
  options.min_delay = 10ms;
  connecting.start(local(server, "text"), options);
  REQUIRE(connecting.until(
      [&] { return events.opened.size() == 2 && events.messages.size() == (in_open ? 1 : 2); }));
  REQUIRE(events.ended.size() == 1);
  CHECK(events.ended.front().again);
  connecting.connector.stop();
}

TEST_CASE("what is cancelled calls nobody, and closes what is open") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.send("hello\n");
    client.wait_for_end();
    self.note("ended");
  });
  Connecting connecting;
  auto& events = *connecting.events;
  Connector::ConnectId id = 0;
  SECTION("within on_open") {
    events.opens = [&](appserver_connection) { return connecting.connector.cancel(id); };
  }
  SECTION("within on_message") {
    events.hears = [&](appserver_connection) {
      connecting.connector.cancel(id);
      return net::StreamHandler::Outcome::fatal;
    };
  }
  ConnectOptions options;
  options.retries = ConnectOptions::kForever;
  options.min_delay = 10ms;
  id = connecting.start(local(server, "text"), options);
  REQUIRE(connecting.until([&] { return !server.notes().empty(); }));
  REQUIRE(connecting.until([&] { return connecting.server.outbound() == 0; }));
  CHECK(events.opened.size() == 1);
  CHECK(events.ended.empty());
  CHECK(connecting.connector.size() == 0);
  CHECK_FALSE(connecting.connector.cancel(id));
}

TEST_CASE("what is cancelled counts among those that may be there until its socket is closed") {
  std::promise<void> may_read;
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted client = self.accept();
    may_read.get_future().wait_for(20s);
    client.wait_for_end();
    Accepted next = self.accept();
    next.wait_for_end();
  });
  Streaming serving;
  Connector connector(serving.context, serving.server, 1);
  const auto events = std::make_shared<Recorder>();
  const auto id = connector.start(local(server, "tcp"), {}, events);
  REQUIRE(id != 0);
  CHECK(connector.start(local(server, "tcp"), {}, events) == 0);
  REQUIRE(serving.until([&] { return !events->opened.empty(); }));
  CHECK(connector.start(local(server, "tcp"), {}, events) == 0);
  while (serving.server.send(events->opened.front(), kBinary, std::string(1'000, 'x')) ==
         APPSERVER_OK)
    settle(serving.context);
  CHECK(connector.cancel(id));
  CHECK(connector.size() == 0);
  settle(serving.context);
  CHECK(connector.start(local(server, "tcp"), {}, events) == 0);
  may_read.set_value();
  REQUIRE(serving.until([&] { return serving.server.outbound() == 0; }));
  CHECK(connector.start(local(server, "tcp"), {}, events) != 0);
  REQUIRE(serving.until([&] { return events->opened.size() == 2; }));
}

TEST_CASE("an attempt or a delay is cancelled, within its own calls, too") {
  Connecting connecting;
  auto& events = *connecting.events;
  Connector::ConnectId id = 0;
  ConnectOptions options;
  options.retries = ConnectOptions::kForever;
  options.min_delay = 10ms;
  SECTION("at once") {
    id = connecting.start("tcp://127.0.0.1:1", options);
    CHECK(connecting.connector.cancel(id));
  }
  SECTION("in on_failed") {
    events.fails = [&] { CHECK(connecting.connector.cancel(id)); };
    id = connecting.start("tcp://127.0.0.1:1", options);
    REQUIRE(connecting.fails());
  }
  SECTION("by the end of all") {
    id = connecting.start("tcp://127.0.0.1:1", options);
    REQUIRE(connecting.fails());
    connecting.connector.stop();
    CHECK(connecting.start("tcp://127.0.0.1:1") == 0);
  }
  const auto failures = events.failures.size();
  CHECK(connecting.connector.size() == 0);
  CHECK_FALSE(run_until(
      connecting.context, [&] { return events.failures.size() != failures; }, 100ms));
}

TEST_CASE("close within on_open ends it behind what was sent") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.until("\n"));
    client.wait_for_end();
    self.note("ended");
  });
  Connecting connecting;
  connecting.events->opens = [&](appserver_connection id) {
    connecting.server.send(id, kText, "bye");
    return connecting.server.close(id, 0, {}) == APPSERVER_OK;
  };
  connecting.start(local(server, "text"));
  REQUIRE(connecting.ends());
  REQUIRE(connecting.until([&] { return server.notes().size() == 2; }));
  CHECK(server.notes().front() == "bye\n");
}

TEST_CASE("a client and an outbound connection are a tunnel") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.bytes(1 << 20));
    client.send("the answer");
  });
  Connecting connecting;
  Client client = connecting.connect_tcp("tcp");
  const appserver_connection inner = connecting.script.connected.front();
  connecting.events->opens = [&](appserver_connection outer) {
    return connecting.server.pipe(inner, outer) == APPSERVER_OK &&
           connecting.server.pipe(outer, inner) == APPSERVER_OK;
  };
  client.send("the question");
  connecting.server.pause(inner, true);
  connecting.start(local(server, "tcp"));
  REQUIRE(connecting.opens());
  connecting.server.pause(inner, false);
  REQUIRE(::shutdown(client.fd(), SHUT_WR) == 0);
  REQUIRE(connecting.gets(client, "the answer"));
  CHECK(server.notes() == std::vector<std::string>{"the question"});
  REQUIRE(connecting.closes(client));
  CHECK(connecting.ends());
  CHECK(connecting.script.messages.empty());
}

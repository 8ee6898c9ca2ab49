// Connections that are never silent, in a worker that drains: when they are ended politely, and
// which ones are left to the deadline.
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "stream_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace std::chrono_literals;
using Outcome = net::StreamHandler::Outcome;

namespace {

net::StreamLimits limits(milliseconds close_spread = 0ms) {
  net::StreamLimits made = small_stream_limits();
  made.close_spread = close_spread;
  return made;
}

struct Draining : Streaming {
  explicit Draining(milliseconds close_spread = 0ms) : Streaming(limits(close_spread)) {}

  // With a successor that nothing can move to, or without one.
  void drain() {
    if (GENERATE(false, true)) {
      server.hand_over([](net::Handed) { FAIL("it was handed over"); });
    } else {
      server.drain_politely();
    }
  }
  // Asks every tenth of a second, and wants an answer each time; false once the server has ended
  // the connection instead.
  bool talks_for(Client& client, milliseconds time) {
    for (auto left = time; left.count() > 0; left -= 100ms) {
      client.send("ask\n");
      const std::size_t wanted = client.received.size() + 4;
      REQUIRE(until([&] {
        client.read_all();
        return client.closed || client.received.size() >= wanted;
      }));
      if (client.closed) return false;
      pass(100ms);
    }
    return true;
  }
  // Of a plugin that sends in its own time.
  bool pushes_for(std::string_view message, milliseconds time) {
    for (auto left = time; left.count() > 0; left -= 100ms) {
      if (server.send(script.connected.front(), kText, message) != APPSERVER_OK) return false;
      pass(100ms);
    }
    return true;
  }
  void ends_as_drained(Client& client) {
    REQUIRE(closes(client));
    CHECK_FALSE(client.reset);
    REQUIRE(script.ended.size() == 1);
    CHECK(script.ended.front().reason == APPSERVER_CLOSED_DRAINED);
    client.end();
    CHECK(until([&] {
      server.tick();
      return server.connections() == 0;
    }));
    CHECK(server.cut() == 0);
  }
};

}  // namespace

TEST_CASE("a raw connection that is never silent ends behind an answer, a while into the drain") {
  Draining serving;
  Client client = serving.connect_tcp("tcp");
  REQUIRE(serving.talks_for(client, 300ms));
  serving.drain();
  // Its bytes have no boundary that is known here: it has a while to come to rest by itself.
  CHECK(serving.talks_for(client, net::StreamServer::kLinger - 100ms));
  CHECK_FALSE(serving.talks_for(client, 1'000ms));
  CHECK(client.received.ends_with("ask\n"));
  CHECK(client.received.size() == 4 * serving.script.messages.size());
  serving.ends_as_drained(client);
}

TEST_CASE("what a client sends behind the end of a raw connection costs it no answer") {
  Draining serving;
  Client client = serving.connect_tcp("tcp");
  serving.drain();
  REQUIRE(serving.talks_for(client, net::StreamServer::kLinger - 100ms));
  serving.pass(200ms);
  const std::size_t before = client.received.size();
  client.send("last");
  REQUIRE(serving.until([&] { return !serving.script.ended.empty(); }));
  client.send("behind it");
  settle(serving.context);
  serving.ends_as_drained(client);
  CHECK(client.received.substr(before) == "last");
}

TEST_CASE("raw connections that are busy end one after another, over close_spread") {
  Draining serving(2'000ms);
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(serving.connect_tcp("tcp"));
  serving.server.drain_politely();
  std::size_t most = 0;
  for (int i = 0; i < 35; ++i) {
    const std::size_t before = serving.script.ended.size();
    for (Client& client : clients) {
      if (!client.closed) client.send("ask\n");
    }
    settle(serving.context);
    for (Client& client : clients) client.read_all();
    most = std::max(most, serving.script.ended.size() - before);
    serving.pass(100ms);
  }
  CHECK(serving.script.ended.size() == 10);
  CHECK(most <= 3);
}

TEST_CASE("a raw connection over which bytes come without an answer is left to the deadline") {
  Draining serving;
  serving.script.on = [](appserver_connection, std::string_view) { return Outcome::good; };
  Client client = serving.connect_tcp("tcp");
  serving.drain();
  for (int i = 0; i < 50; ++i) {
    client.send("part of a whole that is known to the plugin alone");
    serving.pass(100ms);
  }
  CHECK(serving.script.messages.size() == 50);
  CHECK(serving.script.ended.empty());
  CHECK(serving.server.cut() == 1);
}

TEST_CASE("a raw connection over which the plugin sends in its own time is left to the deadline") {
  Draining serving;
  Client client = serving.connect_tcp("tcp");
  serving.drain();
  CHECK(serving.pushes_for("part", 2'500ms));
  // An answer from on_message may be the first part of such, too.
  CHECK(serving.talks_for(client, 2'500ms));
  CHECK(serving.script.ended.empty());
  CHECK(serving.server.cut() == 1);
}

TEST_CASE("a line that the plugin sends in its own time is whole: the drain ends behind it") {
  Draining serving;
  Client client = serving.connect_tcp("text");
  serving.drain();
  CHECK(serving.pushes_for("news", net::StreamServer::kLinger - 100ms));
  CHECK_FALSE(serving.pushes_for("news", 500ms));
  CHECK(client.received.size() % 5 == 0);
  serving.ends_as_drained(client);
}

TEST_CASE("lines for others do not end a connection whose own line is not answered yet") {
  Draining serving;
  serving.script.on = [](appserver_connection, std::string_view) { return Outcome::good; };
  Client client = serving.connect_tcp("text");
  const appserver_connection id = serving.script.connected.front();
  serving.drain();
  CHECK(serving.pushes_for("news", net::StreamServer::kLinger - 100ms));
  client.send("ask\n");
  settle(serving.context);
  serving.pass(500ms);
  CHECK(serving.script.ended.empty());
  REQUIRE(serving.server.send(id, kText, "the answer") == APPSERVER_OK);
  settle(serving.context);
  serving.ends_as_drained(client);
  CHECK(client.received.ends_with("news\nthe answer\n"));
}

TEST_CASE("a connection that the plugin has paused is left alone until it is resumed") {
  const std::string scheme = GENERATE("text", "tcp");
  Draining serving;
  appserver_connection id = 0;
  serving.script.on = [&](appserver_connection connection, std::string_view) {
    id = connection;
    serving.server.send(connection, kText, "working");
    serving.server.pause(connection, true);
    return Outcome::good;
  };
  Client client = serving.connect_tcp(scheme);
  serving.drain();
  serving.pass(100ms);
  client.send("ask\n");
  settle(serving.context);
  serving.pass(5'000ms);
  CHECK(serving.script.ended.empty());
  REQUIRE(serving.server.send(id, kText, "done") == APPSERVER_OK);
  serving.server.pause(id, false);
  serving.pass(1'500ms);
  serving.ends_as_drained(client);
  CHECK(client.received.find("done") != std::string::npos);
}

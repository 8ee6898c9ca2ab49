// How connections that carry messages leave a worker: to its successor, politely, or cut.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "stream_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using Outcome = net::StreamHandler::Outcome;

namespace {

// A predecessor whose connections all go to a successor.
struct Handing {
  Handing() {
    before.script.on_handing = [](appserver_connection connection) {
      return "state of " + std::to_string(connection != 0);
    };
  }
  void hand_over() {
    before.server.hand_over([this](net::Handed handed) {
      const auto listener = listener_of(handed.listener.substr(0, handed.listener.find("://")));
      after.server.adopt(std::move(handed), listener);
    });
  }
  bool gets(Client& client, std::string_view all) {
    return before.until([&] {
      settle(after.context);
      client.read_all();
      return client.received.size() >= all.size();
    }) && client.received == all;
  }

  Streaming before;
  Streaming after;
};

}  // namespace

TEST_CASE("an idle connection moves with its state, and no on_close is called") {
  Handing workers;
  Client client = workers.before.connect();
  client.send("one\n");
  REQUIRE(workers.gets(client, "one\n"));
  workers.hand_over();
  CHECK(workers.before.server.connections() == 0);
  CHECK(workers.before.script.ended.empty());
  CHECK(workers.before.page.handed_over.get() == 1);
  CHECK(workers.after.script.adopted == std::vector<std::string>{"state of 1"});
  client.send("two\n");
  REQUIRE(workers.gets(client, "one\ntwo\n"));
  CHECK(workers.after.script.messages == std::vector<std::string>{"two"});
}

TEST_CASE("a message of which half has come is served by the successor, whole") {
  Handing workers;
  Client client = workers.before.connect();
  client.send("first\nsec");
  REQUIRE(workers.gets(client, "first\n"));
  workers.hand_over();
  client.send("ond\n");
  REQUIRE(workers.gets(client, "first\nsecond\n"));
}

TEST_CASE("messages behind the one at hand are the successor's") {
  Handing workers;
  workers.before.script.on = [&](appserver_connection connection, std::string_view message) {
    workers.before.server.send(connection, kText, message);
    if (message == "one") workers.hand_over();
    return Outcome::good;
  };
  Client client = workers.before.connect();
  client.send("one\ntwo\nthree\n");
  REQUIRE(workers.gets(client, "one\ntwo\nthree\n"));
  CHECK(workers.before.script.messages == std::vector<std::string>{"one"});
  CHECK(workers.after.script.messages == std::vector<std::string>{"two", "three"});
}

TEST_CASE("what a slow peer has not taken yet goes along, in order") {
  Handing workers;
  Client client = workers.before.connect("frame");
  const appserver_connection id = workers.before.script.connected.at(0);
  std::string expected;
  for (char c = 'a'; workers.before.script.full == workers.before.script.drained;
       c = c == 'z' ? 'a' : static_cast<char>(c + 1)) {
    const std::string message(1000, c);
    if (workers.before.server.send(id, kText, message) == APPSERVER_OK)
      net::stream::append(expected, net::stream::Framing::frame, message);
    settle(workers.before.context);
  }
  workers.hand_over();
  CHECK(workers.before.server.connections() == 0);
  settle(workers.after.context);
  CHECK(workers.after.script.full == 1);
  REQUIRE(workers.gets(client, expected));
  CHECK(workers.after.script.drained == 1);
}

TEST_CASE("a paused connection is paused in the successor") {
  Handing workers;
  Client client = workers.before.connect();
  workers.before.server.pause(workers.before.script.connected.at(0), true);
  settle(workers.before.context);
  workers.hand_over();
  client.send("one\n");
  settle(workers.after.context);
  CHECK(workers.after.script.messages.empty());
  workers.after.server.pause(workers.after.script.connected.at(0), false);
  REQUIRE(workers.gets(client, "one\n"));
}

TEST_CASE(
    "a connection that the plugin does not let go ends behind the answer to its next message") {
  Handing workers;
  workers.before.script.on_handing = nullptr;
  Client client = workers.before.connect_tcp();
  workers.hand_over();
  CHECK(workers.before.server.connections() == 1);
  client.send("last\n");
  REQUIRE(workers.before.closes(client));
  CHECK(client.received == "last\n");
  CHECK_FALSE(client.reset);
  CHECK(workers.before.script.ended.at(0).reason == APPSERVER_CLOSED_DRAINED);
  CHECK(workers.after.script.connected.empty());
}

TEST_CASE(
    "a polite drain ends silent connections after a while, and those that talk when answered") {
  Streaming serving;
  Client silent = serving.connect_tcp();
  Client half = serving.connect_tcp();
  half.send("ha");
  settle(serving.context);
  serving.server.drain_politely();
  serving.pass(milliseconds(500));
  CHECK(serving.server.connections() == 2);
  half.send("lf\n");
  REQUIRE(serving.closes(half));
  CHECK(half.received == "half\n");
  serving.pass(milliseconds(1'500));
  REQUIRE(serving.closes(silent));
  silent.end();
  half.end();
  CHECK(serving.until([&] { return serving.server.connections() == 0; }));
  CHECK(serving.script.ended.size() == 2);
}

TEST_CASE("a tunnel stays until it is silent or cut") {
  Handing workers;
  Client a = workers.before.connect("tcp");
  Client b = workers.before.connect("tcp");
  const auto ids = workers.before.script.connected;
  workers.before.server.pipe(ids.at(0), ids.at(1));
  workers.hand_over();
  CHECK(workers.before.server.connections() == 2);
  a.send("still");
  REQUIRE(workers.gets(b, "still"));
  CHECK(workers.before.server.cut() == 2);
  CHECK(workers.before.server.connections() == 0);
  CHECK(workers.before.script.ended.size() == 2);
}

TEST_CASE("a cut ends everything at once, and counts what was open") {
  Streaming serving;
  Client one = serving.connect();
  Client two = serving.connect();
  CHECK(serving.server.cut() == 2);
  CHECK(serving.closes(one));
  CHECK(serving.closes(two));
  CHECK(serving.script.ended.size() == 2);
  CHECK(serving.page.connections.get() == 0);
}

#include <catch2/catch.hpp>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using std::chrono::milliseconds;

TEST_CASE("an idle connection is ended after idle_timeout, not before") {
  Serving serving;
  Client fresh = serving.connect();
  Client used = serving.connect();
  used.send(get("/"));
  REQUIRE(serving.answered(used, 1));
  serving.pass(milliseconds(2'900));
  CHECK(serving.server.connections() == 2);
  serving.pass(milliseconds(400));
  CHECK(serving.server.connections() == 0);
  REQUIRE(serving.closes(used));
  CHECK(used.answers() == 1);
}

TEST_CASE("each request begins the idle time anew") {
  Serving serving;
  Client client = serving.connect();
  for (std::size_t i = 1; i <= 4; ++i) {
    serving.pass(milliseconds(2'000));
    client.send(get("/"));
    REQUIRE(serving.answered(client, i));
  }
  serving.pass(milliseconds(3'300));
  CHECK(serving.server.connections() == 0);
}

TEST_CASE("a head that does not become whole is answered with 408, however its bytes trickle") {
  Serving serving;
  Client client = serving.connect();
  client.send("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 10; ++i) {
    settle(serving.context);
    CHECK(serving.server.connections() == 1);
    client.send("X: y\r\n");
    settle(serving.context);
    serving.pass(milliseconds(100));
  }
  serving.pass(milliseconds(300));
  REQUIRE(serving.closes(client));
  CHECK(client.got("HTTP/1.1 408 "));
  CHECK(serving.script.seen.empty());
  CHECK(serving.page.refused.get() == 1);
}

TEST_CASE("a body below the minimum rate is answered with 408") {
  Serving serving;
  Client client = serving.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 15; ++i) {
    settle(serving.context);
    client.send("x");
    settle(serving.context);
    serving.pass(milliseconds(100));
  }
  REQUIRE(serving.closes(client));
  CHECK(client.got("HTTP/1.1 408 "));
  CHECK(serving.script.seen.empty());
  // A refused request is over: nothing of it is in flight.
  CHECK(serving.server.cut() == 0);
}

TEST_CASE("a body that keeps the minimum rate takes all the time it needs") {
  Serving serving;
  Client client = serving.connect();
  const std::string piece(200, 'b');
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
  for (int i = 0; i < 100; ++i) {
    client.send(piece);
    settle(serving.context);
    serving.pass(milliseconds(100));
  }
  REQUIRE(serving.answered(client, 1));
  CHECK(client.bodies.back().size() == 20'001);
}

TEST_CASE("the time for the body begins when the head is whole") {
  Serving serving;
  Client client = serving.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\n");
  settle(serving.context);
  serving.pass(milliseconds(900));
  client.send("Content-Length: 2\r\n\r\nx");
  settle(serving.context);
  serving.pass(milliseconds(800));
  client.send("y");
  REQUIRE(serving.answered(client, 1));
  CHECK(client.bodies.back() == "/xy");
}

TEST_CASE("a plugin may take longer than every timeout") {
  Serving serving;
  Client client = serving.connect();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  serving.pass(milliseconds(20'000));
  CHECK(serving.server.respond(serving.script.seen[0], answer_of("done")) == APPSERVER_OK);
  REQUIRE(serving.answered(client, 1));
  serving.pass(milliseconds(2'500));
  CHECK(serving.server.connections() == 1);
  serving.pass(milliseconds(800));
  CHECK(serving.server.connections() == 0);
}

TEST_CASE("a client that does not take its answer is ended, one that takes it slowly is not") {
  Serving serving;
  const std::string big(4'000'000, 'b');
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    serving.server.respond(exchange, answer_of(big));
  };
  Client stuck = serving.connect();
  Client slow = serving.connect();
  stuck.send(get("/"));
  slow.send(get("/"));
  REQUIRE(serving.has_seen(2));
  for (int i = 0; i < 10; ++i) {
    settle(serving.context);
    for (int part = 0; part < 4; ++part) slow.read_once();
    settle(serving.context);
    serving.pass(milliseconds(1'000));
  }
  CHECK(serving.server.connections() == 1);
  REQUIRE(serving.answered(slow, 1));
  CHECK(slow.bodies.back().size() == big.size());
  CHECK(serving.closes(stuck));
  CHECK(stuck.answers() == 0);
}

// That a client has gone while its answer is awaited.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using std::chrono::milliseconds;

namespace {

struct Watching : Serving {
  Watching() { script.watches = true; }

  bool told(std::size_t times = 1) {
    return until([&] { return script.gone.size() >= times; });
  }
  // Nothing comes of it, even when time goes by.
  void tells_nothing() {
    pass(milliseconds(5'000));
    CHECK(script.gone.empty());
  }
};

void reset(Client& client) {
  const linger at_once{1, 0};
  REQUIRE(::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
  client.end();
}

}  // namespace

TEST_CASE("a client that leaves while its answer is awaited is told once, on whatever socket") {
  Watching serving;
  Client client = GENERATE(0, 1) == 0 ? serving.connect() : serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  settle(serving.context);
  CHECK(serving.script.gone.empty());
  SECTION("by closing") { client.end(); }
  SECTION("by closing its sending half") { client.shut_down_sending(); }
  SECTION("by a reset") { reset(client); }
  REQUIRE(serving.told());
  CHECK(serving.script.gone == serving.script.seen);
  serving.pass(milliseconds(5'000));
  CHECK(serving.script.gone.size() == 1);
}

TEST_CASE("a client that has left before its request is handed over is told, too") {
  Watching serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  client.shut_down_sending();
  REQUIRE(serving.told());
  CHECK(serving.script.gone == serving.script.seen);
}

TEST_CASE("a client that has closed its sending half still gets the answer that is given") {
  Watching serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  client.shut_down_sending();
  REQUIRE(serving.told());
  const appserver_exchange exchange = serving.script.seen.front();
  CHECK(serving.server.alive(exchange) == APPSERVER_OK);
  SECTION("later") {
    CHECK(serving.server.respond(exchange, answer_of("late")) == APPSERVER_OK);
    REQUIRE(serving.answered(client, 1));
    CHECK(client.bodies.back() == "late");
    CHECK(serving.closes(client));
  }
  SECTION("and one that is aborted is closed") {
    CHECK(serving.server.abort(exchange) == APPSERVER_OK);
    REQUIRE(serving.closes(client));
    CHECK(client.answers() == 0);
  }
}

TEST_CASE("an exchange may be ended while it is told that its client has gone") {
  Watching serving;
  serving.script.on_gone = [&](appserver_exchange exchange) {
    CHECK(serving.server.abort(exchange) == APPSERVER_OK);
  };
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  client.end();
  REQUIRE(serving.until([&] { return serving.server.connections() == 0; }));
  CHECK(serving.script.gone.size() == 1);
}

TEST_CASE("the next request of a client that waits stays where it is, and is served in its turn") {
  Watching serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  client.send(get("/next"));
  serving.tells_nothing();
  CHECK(serving.script.seen.size() == 1);
  CHECK(serving.server.respond(serving.script.seen.front(), answer_of("first")) == APPSERVER_OK);
  REQUIRE(serving.answered(client, 2));
  CHECK(client.bodies == std::vector<std::string>{"first", "/next"});
}

TEST_CASE("a loop with a client that waits and has sent its next request comes to rest") {
  Watching serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  client.send(get("/next"));
  settle(serving.context);
  // What is ready is run at once: nothing is.
  CHECK(serving.context.poll() == 0);
  CHECK(serving.context.poll() == 0);
}

TEST_CASE("a client that leaves behind its next request is told within some seconds") {
  Watching serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  client.send(get("/next"));
  settle(serving.context);
  client.shut_down_sending();
  settle(serving.context);
  serving.pass(milliseconds(1'500));
  CHECK(serving.script.gone == std::vector{serving.script.seen.front()});
  CHECK(serving.server.respond(serving.script.seen.front(), answer_of("x")) == APPSERVER_OK);
  REQUIRE(serving.answered(client, 2));
  CHECK(serving.script.gone.size() == 1);
}

TEST_CASE("each request of a connection is told by itself") {
  Watching serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.respond(serving.script.seen[0], answer_of("x")) == APPSERVER_OK);
  REQUIRE(serving.answered(client, 1));
  client.send(get("/later"));
  REQUIRE(serving.has_seen(2));
  client.end();
  REQUIRE(serving.told());
  CHECK(serving.script.gone == std::vector{serving.script.seen[1]});
}

TEST_CASE("a stream whose client has gone is told, also in the midst of its pieces") {
  Watching serving;
  appserver_exchange stream = 0;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    stream = exchange;
    CHECK(serving.server.start(exchange, answer_of(""), -1) == APPSERVER_OK);
  };
  Client client = serving.connect_tcp();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  SECTION("at rest") { settle(serving.context); }
  SECTION("with pieces that it does not take") {
    while (serving.server.write(stream, std::string(100'000, 'x')) == APPSERVER_OK)
      settle(serving.context);
  }
  reset(client);
  REQUIRE(serving.told());
  CHECK(serving.script.gone == std::vector{stream});
}

TEST_CASE("exchanges that are cut at the end of a drain are told") {
  Watching serving;
  Client one = serving.connect();
  Client two = serving.connect();
  one.send(get("/later"));
  two.send(get("/later"));
  REQUIRE(serving.has_seen(2));
  CHECK(serving.server.cut() == 2);
  CHECK(serving.script.gone.empty());
  REQUIRE(serving.told(2));
}

TEST_CASE("what was answered, finished or aborted is not told") {
  Watching serving;
  Client client = serving.connect_tcp();
  SECTION("answered at once") {
    client.send(get("/"));
    REQUIRE(serving.answered(client, 1));
  }
  SECTION("answered later") {
    client.send(get("/later"));
    REQUIRE(serving.has_seen(1));
    CHECK(serving.server.respond(serving.script.seen[0], answer_of("x")) == APPSERVER_OK);
  }
  SECTION("aborted") {
    client.send(get("/later"));
    REQUIRE(serving.has_seen(1));
    CHECK(serving.server.abort(serving.script.seen[0]) == APPSERVER_OK);
  }
  client.end();
  serving.tells_nothing();
}

TEST_CASE("a connection that was watched is handed over when its answer is out") {
  Watching serving;
  std::vector<net::Handed> moved;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  client.send(get("/next"));
  settle(serving.context);
  serving.server.hand_over([&](net::Handed handed) { moved.push_back(std::move(handed)); });
  settle(serving.context);
  CHECK(moved.empty());
  CHECK(serving.server.respond(serving.script.seen[0], answer_of("x")) == APPSERVER_OK);
  REQUIRE(serving.until([&] { return moved.size() == 1; }));
  REQUIRE(serving.answered(client, 1));
  // The next request is in the kernel, or goes along.
  Serving successor;
  successor.server.serve(std::move(moved[0].connection), moved[0].received);
  REQUIRE(successor.answered(client, 2));
  CHECK(client.bodies.back() == "/next");
}

TEST_CASE("a handler that does not want to know leaves its clients unwatched") {
  Serving serving;
  Client client = serving.connect_tcp();
  client.send(get("/later"));
  client.shut_down_sending();
  REQUIRE(serving.has_seen(1));
  settle(serving.context);
  CHECK(serving.script.gone.empty());
  CHECK(serving.server.respond(serving.script.seen[0], answer_of("late")) == APPSERVER_OK);
  REQUIRE(serving.answered(client, 1));
  CHECK(serving.script.gone.empty());
}

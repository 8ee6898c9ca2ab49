#include <catch2/catch.hpp>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using std::chrono::milliseconds;

namespace {

// Begins a stream for each request, to be continued by the test.
struct Streaming : Serving {
  explicit Streaming(std::int64_t length) {
    script.on = [this, length](appserver_exchange exchange, const appserver_http_request&) {
      CHECK(server.start(exchange, answer_of(""), length) == APPSERVER_OK);
      stream = exchange;
    };
  }

  bool gets(Client& client, std::string_view what) {
    return until([&] {
      client.read_all();
      return client.got(what);
    });
  }

  appserver_exchange stream = 0;
};

}  // namespace

TEST_CASE("a stream of unknown length is chunked, and the connection goes on behind it") {
  Streaming serving(-1);
  Client client = serving.connect();
  client.send(get("/") + get("/"));
  REQUIRE(serving.gets(client, "Transfer-Encoding: chunked\r\n"));
  CHECK(serving.server.write(serving.stream, "hello") == APPSERVER_OK);
  REQUIRE(serving.gets(client, "5\r\nhello\r\n"));
  CHECK(serving.server.write(serving.stream, "") == APPSERVER_OK);
  const appserver_exchange first = serving.stream;
  CHECK(serving.server.respond(first, answer_of("x")) == APPSERVER_INVALID);
  CHECK(serving.server.start(first, answer_of("x"), -1) == APPSERVER_INVALID);
  CHECK(serving.server.finish(first) == APPSERVER_OK);
  CHECK(serving.server.finish(first) == APPSERVER_GONE);
  REQUIRE(serving.gets(client, "0\r\n\r\nHTTP/1.1 200 OK\r\n"));
  CHECK(serving.stream != first);
  CHECK_FALSE(client.closed);
}

TEST_CASE("a stream of known length holds to it") {
  Streaming serving(8);
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.write(serving.stream, "four") == APPSERVER_OK);
  CHECK(serving.server.write(serving.stream, "fives") == APPSERVER_INVALID);
  SECTION("reached, it ends well") {
    CHECK(serving.server.write(serving.stream, "4444") == APPSERVER_OK);
    CHECK(serving.server.finish(serving.stream) == APPSERVER_OK);
    REQUIRE(serving.answered(client, 1));
    CHECK(client.bodies.back() == "four4444");
    CHECK_FALSE(client.closed);
  }
  SECTION("not reached, it is cut") {
    CHECK(serving.server.finish(serving.stream) == APPSERVER_INVALID);
    CHECK(serving.server.write(serving.stream, "4444") == APPSERVER_GONE);
    REQUIRE(serving.closes(client));
    CHECK(client.answers() == 0);
  }
}

TEST_CASE("to HTTP/1.0 a stream of unknown length ends with the connection") {
  Streaming serving(-1);
  Client client = serving.connect();
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.write(serving.stream, "hello") == APPSERVER_OK);
  CHECK(serving.server.finish(serving.stream) == APPSERVER_OK);
  REQUIRE(serving.closes(client));
  CHECK(client.received.ends_with("\r\n\r\nhello"));
  CHECK_FALSE(client.got("chunked"));
}

TEST_CASE("to HEAD a stream has no body, and the next answer follows") {
  Streaming serving(5);
  Client client = serving.connect();
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.write(serving.stream, "hello") == APPSERVER_OK);
  CHECK(serving.server.finish(serving.stream) == APPSERVER_OK);
  REQUIRE(serving.gets(client, "Content-Length: 5\r\n"));
  REQUIRE(serving.gets(client, "\r\n\r\n"));
  client.send(get("/"));
  REQUIRE(serving.has_seen(2));
  settle(serving.context);
  client.read_all();
  CHECK_FALSE(client.got("hello"));
}

TEST_CASE("an aborted stream is cut short, in its request and later") {
  Streaming serving(-1);
  const bool at_once = GENERATE(true, false);
  if (at_once) {
    serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
      serving.server.start(exchange, answer_of("begun"), -1);
      CHECK(serving.server.abort(exchange) == APPSERVER_OK);
      CHECK(serving.server.alive(exchange) == APPSERVER_GONE);
    };
  }
  Client client = serving.connect();
  client.send(get("/") + get("/"));
  REQUIRE(serving.has_seen(1));
  if (!at_once) {
    CHECK(serving.server.write(serving.stream, "begun") == APPSERVER_OK);
    CHECK(serving.server.abort(serving.stream) == APPSERVER_OK);
    CHECK(serving.server.abort(serving.stream) == APPSERVER_GONE);
  }
  REQUIRE(serving.closes(client));
  CHECK_FALSE(client.got("0\r\n\r\n"));
  CHECK(serving.script.seen.size() == 1);
  CHECK(serving.script.has_ended(serving.script.seen[0]));
  CHECK(serving.page.in_flight.get() == 0);
}

TEST_CASE("a plugin that fails within a stream cuts it") {
  Streaming serving(-1);
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.fail(serving.stream) == APPSERVER_OK);
  REQUIRE(serving.closes(client));
  CHECK_FALSE(client.got("0\r\n\r\n"));
  CHECK(serving.page.failed.get() == 1);
}

TEST_CASE("a slow reader turns write into LIMIT, and gets everything when it reads again") {
  Streaming serving(-1);
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  const std::string piece(50'000, 'p');
  std::size_t taken = 0;
  const auto write_to_the_limit = [&] {
    while (serving.server.write(serving.stream, piece) == APPSERVER_OK) {
      ++taken;
      settle(serving.context);
      REQUIRE(taken < 10'000);
    }
  };
  for (int round = 0; round < 5; ++round) {
    const std::size_t before = taken;
    write_to_the_limit();
    CHECK(taken > before);
    CHECK(serving.server.write(serving.stream, "x") == APPSERVER_LIMIT);
    CHECK(serving.server.alive(serving.stream) == APPSERVER_OK);
    REQUIRE(serving.until([&] {
      client.read_all();
      return client.received.size() > taken * piece.size();
    }));
  }
  CHECK(taken * piece.size() > net::HttpServer::kMostStreamed * 5);
  CHECK(serving.server.finish(serving.stream) == APPSERVER_OK);
  REQUIRE(serving.gets(client, "\r\n0\r\n\r\n"));
  CHECK(static_cast<std::size_t>(std::ranges::count(client.received, 'p')) == taken * piece.size());
}

TEST_CASE("a client that does not read costs a stream its bound and a piece, and no more") {
  Serving serving;
  const std::string piece(64 << 10, 'p');
  std::size_t taken = 0;
  appserver_exchange stream = 0;
  const auto write_to_the_limit = [&] {
    std::int32_t last = APPSERVER_OK;
    while ((last = serving.server.write(stream, piece)) == APPSERVER_OK) ++taken;
    CHECK(last == APPSERVER_LIMIT);
    CHECK(serving.server.write(stream, "") == APPSERVER_LIMIT);
    CHECK(serving.server.unsent(stream) >= net::HttpServer::kMostStreamed);
    CHECK(serving.server.unsent(stream) < net::HttpServer::kMostStreamed + 2 * piece.size());
  };
  bool within_the_turn = false;
  SECTION("within the turn of its request") { within_the_turn = true; }
  SECTION("later") {}
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    stream = exchange;
    CHECK(serving.server.start(exchange, answer_of(""), -1) == APPSERVER_OK);
    if (within_the_turn) write_to_the_limit();
  };
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  write_to_the_limit();
  settle(serving.context);
  write_to_the_limit();
  // The kernel had been given what it takes.
  CHECK(taken * piece.size() > serving.server.unsent(stream) + piece.size());
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.size() > taken * piece.size();
  }));
  CHECK(serving.server.write(stream, "") == APPSERVER_OK);
  CHECK(serving.server.finish(stream) == APPSERVER_OK);
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.ends_with("\r\n0\r\n\r\n");
  }));
  CHECK(static_cast<std::size_t>(std::ranges::count(client.received, 'p')) == taken * piece.size());
}

TEST_CASE("a client that is lost while the plugin writes to it in one turn is gone for it") {
  Serving serving;
  const std::string piece(64 << 10, 'p');
  Client client = serving.connect_tcp();
  std::int32_t last = APPSERVER_OK;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    CHECK(serving.server.start(exchange, answer_of(""), -1) == APPSERVER_OK);
    const linger reset{1, 0};
    REQUIRE(::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
    client.end();
    for (int i = 0; i < 100 && last == APPSERVER_OK; ++i)
      last = serving.server.write(exchange, piece);
  };
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  CHECK(last == APPSERVER_GONE);
  REQUIRE(serving.until([&] { return serving.server.connections() == 0; }));
  CHECK(serving.script.has_ended(serving.script.seen[0]));
}

TEST_CASE("a client that takes nothing of a stream is ended, however busily the plugin writes") {
  Streaming serving(-1);
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  const std::string piece(400'000, 'p');
  serving.server.write(serving.stream, piece);
  for (int second = 0; second < 5; ++second) {
    settle(serving.context);
    serving.server.write(serving.stream, "x");
    serving.pass(milliseconds(1'000));
  }
  CHECK(serving.server.alive(serving.stream) == APPSERVER_GONE);
  CHECK(serving.server.connections() == 0);
  CHECK(serving.script.has_ended(serving.stream));
}

TEST_CASE("a client that is gone ends the stream at a later write") {
  Streaming serving(-1);
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  client.end();
  CHECK(serving.until([&] { return serving.server.write(serving.stream, "x") == APPSERVER_GONE; }));
  CHECK(serving.server.connections() == 0);
}

// Connections that are piped into one another: how each direction goes and ends, also in a drain.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "stream_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

enum class Over { tcp, socket_pair };

struct Tunnel : Streaming {
  explicit Tunnel(Over over = Over::tcp) : a(open(over)), b(open(over)), ids(script.connected) {
    REQUIRE(server.pipe(ids.at(0), ids.at(1)) == APPSERVER_OK);
    REQUIRE(server.pipe(ids.at(1), ids.at(0)) == APPSERVER_OK);
  }

  Client open(Over over) { return over == Over::tcp ? connect_tcp("tcp") : connect("tcp"); }

  // From a, until nothing more fits anywhere; all that was sent.
  std::string stuff() {
    const std::string chunk(3'000, 'x');
    std::string sent;
    for (int quiet = 0; quiet < 50;) {
      const auto put = ::send(a.fd(), chunk.data(), chunk.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put > 0) sent.append(chunk, 0, static_cast<std::size_t>(put));
      quiet = put > 0 ? 0 : quiet + 1;
      settle(context);
    }
    return sent;
  }
  // Until the server holds bytes that b has no room for, and has read all of a's.
  void fill() {
    const std::string chunk(3'000, 'x');
    while (unsent_to_b() == 0) {
      a.send(chunk);
      settle(context);
    }
  }
  std::uint64_t unsent_to_b() {
    appserver_connection_info info{};
    info.size = sizeof(info);
    return server.info(ids.at(1), info) == APPSERVER_OK ? info.unsent : 0;
  }

  Client a;
  Client b;
  std::vector<appserver_connection> ids;
};

// How a worker ends with a successor that takes no tunnel, and without one.
void drain(Tunnel& tunnel) {
  if (GENERATE(false, true)) {
    tunnel.server.hand_over([](net::Handed) { FAIL("a tunnel was handed over"); });
  } else {
    tunnel.server.drain_politely();
  }
}

}  // namespace

TEST_CASE("two piped connections are a tunnel that no faster end overruns") {
  Tunnel tunnel(Over::socket_pair);
  tunnel.b.send("from b");
  REQUIRE(tunnel.gets(tunnel.a, "from b"));
  const std::string sent = tunnel.stuff();
  // The tunnel's own share is bounded.
  const std::uint64_t unsent = tunnel.unsent_to_b();
  CHECK(unsent > 0);
  CHECK(unsent < 300'000);
  REQUIRE(tunnel.until([&] {
    tunnel.b.read_all();
    return tunnel.b.received.size() == sent.size();
  }));
  CHECK(tunnel.script.messages.empty());
  tunnel.a.end();
  CHECK(tunnel.closes(tunnel.b));
  tunnel.b.end();
  CHECK(tunnel.until([&] { return tunnel.script.ended.size() == 2; }));
}

TEST_CASE("an end of a tunnel that takes nothing is still read from") {
  Tunnel tunnel(Over::socket_pair);
  tunnel.stuff();
  tunnel.b.send("an answer");
  CHECK(tunnel.gets(tunnel.a, "an answer"));
}

TEST_CASE("a tunnel with one direction left ends when nothing comes from there any more") {
  Tunnel tunnel;
  tunnel.a.send("all");
  tunnel.a.end();
  REQUIRE(tunnel.closes(tunnel.b));
  tunnel.pass(net::StreamServer::kHalfClosed - milliseconds(1'000));
  CHECK(tunnel.script.ended.empty());
  tunnel.pass(milliseconds(2'000));
  CHECK(tunnel.until([&] { return tunnel.script.ended.size() == 2; }));
}

TEST_CASE("each direction of a tunnel ends by itself") {
  Tunnel tunnel;
  tunnel.a.send("the question");
  REQUIRE(::shutdown(tunnel.a.fd(), SHUT_WR) == 0);
  REQUIRE(tunnel.closes(tunnel.b));
  CHECK(tunnel.b.received == "the question");
  CHECK(tunnel.script.ended.empty());
  CHECK(tunnel.server.send(tunnel.ids.at(1), kBinary, "behind the end") == APPSERVER_GONE);
  tunnel.b.send("the answer");
  REQUIRE(tunnel.gets(tunnel.a, "the answer"));
  tunnel.b.end();
  REQUIRE(tunnel.closes(tunnel.a));
  REQUIRE(tunnel.until([&] { return tunnel.script.ended.size() == 2; }));
  CHECK(tunnel.script.ended.front().reason == APPSERVER_CLOSED_BY_PEER);
}

TEST_CASE("a pipe of one direction ends with its source, and ends both") {
  Streaming serving;
  Client a = serving.connect("tcp");
  Client b = serving.connect("tcp");
  const auto ids = serving.script.connected;
  REQUIRE(serving.server.pipe(ids.at(0), ids.at(1)) == APPSERVER_OK);
  a.send("all");
  a.end();
  REQUIRE(serving.closes(b));
  CHECK(b.received == "all");
  CHECK(serving.until([&] { return serving.script.ended.size() == 2; }));
}

TEST_CASE("what cannot be piped is refused") {
  Streaming serving;
  Client line = serving.connect("text");
  Client raw = serving.connect("tcp");
  const auto ids = serving.script.connected;
  CHECK(serving.server.pipe(ids.at(0), ids.at(1)) == APPSERVER_INVALID);
  CHECK(serving.server.pipe(ids.at(1), ids.at(1)) == APPSERVER_INVALID);
  CHECK(serving.server.pipe(ids.at(1), 12345) == APPSERVER_GONE);
}

TEST_CASE("a drain leaves a tunnel alone, however silent, until both directions have ended") {
  Tunnel tunnel;
  tunnel.a.send("the question");
  REQUIRE(tunnel.gets(tunnel.b, "the question"));
  const bool half_closed = GENERATE(false, true);
  if (half_closed) {
    tunnel.a.shut_down_sending();
    REQUIRE(tunnel.closes(tunnel.b));
  }
  drain(tunnel);
  tunnel.pass(milliseconds(60'000));
  CHECK(tunnel.script.ended.empty());
  tunnel.b.send("the answer");
  REQUIRE(tunnel.gets(tunnel.a, "the answer"));
  tunnel.b.shut_down_sending();
  REQUIRE(tunnel.closes(tunnel.a));
  if (!half_closed) tunnel.a.shut_down_sending();
  REQUIRE(tunnel.until([&] { return tunnel.script.ended.size() == 2; }));
  CHECK_FALSE(tunnel.a.reset);
  CHECK(tunnel.server.cut() == 0);
}

TEST_CASE("a tunnel that is cut in a drain looks whole at neither end") {
  Tunnel tunnel;
  const bool full = GENERATE(false, true);
  if (full) {
    tunnel.fill();
    tunnel.a.shut_down_sending();
  }
  drain(tunnel);
  tunnel.pass(milliseconds(1'000));
  CHECK(tunnel.server.cut() == 2);
  REQUIRE(tunnel.closes(tunnel.b));
  CHECK(tunnel.b.reset);
  REQUIRE(tunnel.closes(tunnel.a));
  CHECK(tunnel.a.reset);
  CHECK(tunnel.server.connections() == 0);
}

TEST_CASE("of a tunnel that is cut the direction that has ended is whole") {
  Tunnel tunnel;
  tunnel.a.send("all of it");
  tunnel.a.shut_down_sending();
  REQUIRE(tunnel.until([&] {
    appserver_connection_info info{};
    info.size = sizeof(info);
    return tunnel.server.info(tunnel.ids.at(1), info) == APPSERVER_OK && info.bytes_out == 9;
  }));
  settle(tunnel.context);
  CHECK(tunnel.server.cut() == 2);
  REQUIRE(tunnel.closes(tunnel.b));
  CHECK(tunnel.b.received == "all of it");
  CHECK_FALSE(tunnel.b.reset);
  REQUIRE(tunnel.closes(tunnel.a));
  CHECK(tunnel.a.reset);
}

TEST_CASE(
    "what waits for a peer whose tunnel's other end is gone is cut with a reset, and counted") {
  Tunnel tunnel;
  tunnel.fill();
  tunnel.b.shut_down_sending();
  tunnel.a.end();
  REQUIRE(tunnel.until([&] { return tunnel.server.connections() == 1; }));
  CHECK(tunnel.server.cut() == 1);
  REQUIRE(tunnel.closes(tunnel.b));
  CHECK(tunnel.b.reset);
}

TEST_CASE("a connection that is cut while an answer waits for its client does not look whole") {
  Streaming serving;
  Client client = serving.connect_tcp("tcp");
  const std::string answer(1'000, 'x');
  const auto id = serving.script.connected.front();
  while (serving.server.send(id, kBinary, answer) == APPSERVER_OK) settle(serving.context);
  serving.server.close(id, 0, {});
  settle(serving.context);
  CHECK(serving.server.cut() == 1);
  REQUIRE(serving.closes(client));
  CHECK(client.reset);
}

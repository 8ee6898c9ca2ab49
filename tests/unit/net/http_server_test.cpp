#include "net/http_server.hpp"

#include <catch2/catch.hpp>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using std::chrono::milliseconds;

TEST_CASE("a connection is kept for request after request, and counted") {
  Serving serving;
  Client client = serving.connect();
  CHECK(serving.page.connections.get() == 1);
  for (std::size_t i = 1; i <= 3; ++i) {
    client.send(get("/" + std::to_string(i)));
    REQUIRE(serving.answered(client, i));
    CHECK(client.bodies.back() == "/" + std::to_string(i));
  }
  CHECK(serving.page.requests.get() == 3);
  CHECK(serving.page.in_flight.get() == 0);
  client.end();
  CHECK(serving.until([&] { return serving.server.connections() == 0; }));
  CHECK(serving.page.connections.get() == 0);
}

TEST_CASE("HTTP/1.0 and Connection: close end the connection behind the answer") {
  const std::string request =
      GENERATE(as<std::string>{}, "GET /x HTTP/1.0\r\n\r\n", get("/x", "Connection: close\r\n"));
  Serving serving;
  Client client = serving.connect_tcp();
  client.send(request);
  REQUIRE(serving.closes(client));
  CHECK(client.answers() == 1);
  CHECK_FALSE(client.reset);
}

TEST_CASE("a pipelined batch is answered in order, in one write") {
  Serving serving;
  Client client = serving.connect(SOCK_SEQPACKET);
  client.send(get("/1") + post("/2", "body") + get("/3"));
  REQUIRE(serving.answered(client, 3));
  CHECK(client.bodies == std::vector<std::string>{"/1", "/2body", "/3"});
  CHECK(client.reads == 1);
}

TEST_CASE("requests cut into single bytes are served as if they came whole") {
  Serving serving;
  Client client = serving.connect();
  for (const char byte : get("/1") + post("/2", "body") + get("/3")) {
    client.send({&byte, 1});
    settle(serving.context);
  }
  REQUIRE(serving.answered(client, 3));
  CHECK(client.bodies == std::vector<std::string>{"/1", "/2body", "/3"});
}

TEST_CASE("a deferred answer holds back those of later requests on its connection") {
  Serving serving;
  Client client = serving.connect();
  client.send(get("/1") + get("/later") + get("/3"));
  REQUIRE(serving.answered(client, 1));
  settle(serving.context);
  REQUIRE(serving.script.seen.size() == 2);
  CHECK(serving.page.in_flight.get() == 1);
  const appserver_exchange exchange = serving.script.seen[1];
  CHECK(serving.server.alive(exchange) == APPSERVER_OK);
  CHECK(serving.server.respond(exchange, answer_of("at last")) == APPSERVER_OK);
  CHECK(serving.script.has_ended(exchange));
  REQUIRE(serving.answered(client, 3));
  CHECK(client.bodies == std::vector<std::string>{"/1", "at last", "/3"});
}

TEST_CASE(
    "an answer to one connection from within the request of another reaches the right client") {
  Serving serving;
  appserver_exchange waiting = 0;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request& request) {
    if (text(request.path) == "/wait") {
      waiting = exchange;
      serving.server.defer(exchange);
      return;
    }
    if (text(request.path) == "/before") serving.server.respond(exchange, answer_of("own"));
    CHECK(serving.server.respond(waiting, answer_of("other's")) == APPSERVER_OK);
    if (text(request.path) == "/after") serving.server.respond(exchange, answer_of("own"));
  };
  Client first = serving.connect();
  Client second = serving.connect();
  first.send(get("/wait"));
  REQUIRE(serving.has_seen(1));
  second.send(get(GENERATE("/before", "/after")));
  REQUIRE(serving.answered(first, 1));
  REQUIRE(serving.answered(second, 1));
  CHECK(first.bodies == std::vector<std::string>{"other's"});
  CHECK(second.bodies == std::vector<std::string>{"own"});
}

TEST_CASE("what a client that went away was to get never reaches another") {
  Serving serving;
  // Ends by a timeout: its answer is not written in a turn of its own.
  Client slow = serving.connect();
  slow.send("GET / HT");
  settle(serving.context);
  Client gone = serving.connect();
  gone.send(get("/secret"));
  gone.end();
  REQUIRE(serving.until([&] { return serving.server.connections() == 1; }));
  CHECK(serving.script.requests == std::vector<std::string>{"/secret"});
  serving.pass(milliseconds(1'500));
  REQUIRE(serving.closes(slow));
  CHECK(slow.got(" 408 "));
  CHECK_FALSE(slow.got("/secret"));
  CHECK(slow.answers() == 1);
}

TEST_CASE("no answer at all, or a failure before it, is a 500; after it, it changes nothing") {
  Serving serving;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request& request) {
    if (text(request.path) == "/fails") CHECK(serving.server.fail(exchange) == APPSERVER_OK);
    if (text(request.path) == "/defers") {
      serving.server.defer(exchange);
      CHECK(serving.server.fail(exchange) == APPSERVER_OK);
    }
    if (text(request.path) == "/answers") {
      serving.server.respond(exchange, answer_of("fine"));
      CHECK(serving.server.fail(exchange) == APPSERVER_GONE);
    }
  };
  Client client = serving.connect();
  client.send(get("/nothing") + get("/fails") + get("/defers") + get("/answers"));
  REQUIRE(serving.answered(client, 4));
  std::size_t failures = 0;
  for (std::size_t at = 0; (at = client.received.find("HTTP/1.1 500 ", at)) != std::string::npos;
       ++at)
    ++failures;
  CHECK(failures == 3);
  CHECK(client.bodies.back() == "fine");
  CHECK(serving.page.failed.get() == 3);
}

TEST_CASE("a refused answer changes nothing: another may be given") {
  Serving serving;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    CHECK(serving.server.respond(exchange, answer_of("x", 99)) == APPSERVER_INVALID);
    CHECK(serving.server.start(exchange, answer_of("too long"), 3) == APPSERVER_INVALID);
    CHECK(serving.server.write(exchange, "x") == APPSERVER_INVALID);
    CHECK(serving.server.finish(exchange) == APPSERVER_INVALID);
    CHECK(serving.server.respond(exchange, answer_of("good")) == APPSERVER_OK);
  };
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.answered(client, 1));
  CHECK(client.bodies.back() == "good");
}

TEST_CASE("exchanges are never reused, and one that is over is gone for every call") {
  Serving serving;
  std::vector<appserver_exchange> all;
  for (int round = 0; round < 3; ++round) {
    Client client = serving.connect();
    client.send(get("/1") + get("/2"));
    REQUIRE(serving.answered(client, 2));
    client.end();
    REQUIRE(serving.until([&] { return serving.server.connections() == 0; }));
  }
  all = serving.script.seen;
  std::ranges::sort(all);
  CHECK(all.size() == 6);
  CHECK(std::ranges::adjacent_find(all) == all.end());
  Client now = serving.connect();
  now.send(get("/later"));
  REQUIRE(serving.has_seen(7));
  for (const appserver_exchange exchange :
       {all.front(), all.back(), appserver_exchange{0}, ~appserver_exchange{0}}) {
    net::HttpServer& server = serving.server;
    CHECK(server.respond(exchange, answer_of("x")) == APPSERVER_GONE);
    CHECK(server.defer(exchange) == APPSERVER_GONE);
    CHECK(server.start(exchange, answer_of(""), -1) == APPSERVER_GONE);
    CHECK(server.write(exchange, "x") == APPSERVER_GONE);
    CHECK(server.finish(exchange) == APPSERVER_GONE);
    CHECK(server.abort(exchange) == APPSERVER_GONE);
    CHECK(server.alive(exchange) == APPSERVER_GONE);
    CHECK(server.fail(exchange) == APPSERVER_GONE);
  }
  CHECK(serving.server.alive(serving.script.seen.back()) == APPSERVER_OK);
}

TEST_CASE("a refusal reaches a client that goes on sending, over TCP") {
  Serving serving;
  Client client = serving.connect_tcp();
  client.send("BAD REQUEST LINE\r\n\r\n" + std::string(100'000, 'x'));
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.got("\r\n\r\n") || client.closed;
  }));
  client.send(std::string(100'000, 'x'));
  REQUIRE(serving.closes(client));
  CHECK(client.got("HTTP/1.1 400 "));
  CHECK_FALSE(client.reset);
  CHECK(serving.page.refused.get() == 1);
  CHECK(serving.server.connections() == 1);
  serving.pass(net::HttpServer::kLinger + milliseconds(300));
  CHECK(serving.server.connections() == 0);
}

TEST_CASE(
    "an answer that ends the connection is not lost to requests that nobody reads, over TCP") {
  Serving serving;
  Client client = serving.connect_tcp();
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    // Comes while the answer is made.
    client.send(get("/2"));
    serving.server.respond(exchange, answer_of("one"));
  };
  client.send(get("/1", "Connection: close\r\n"));
  REQUIRE(serving.closes(client));
  CHECK(client.answers() == 1);
  CHECK_FALSE(client.reset);
  CHECK(serving.script.seen.size() == 1);
}

TEST_CASE("Expect: 100-continue is answered at once, and the request when its body has come") {
  Serving serving;
  Client client = serving.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.got("\r\n\r\n");
  }));
  CHECK(client.received == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(serving.script.seen.empty());
  client.received.clear();
  client.send("body");
  REQUIRE(serving.answered(client, 1));
  CHECK(client.bodies.back() == "/body");
}

TEST_CASE("the end of input in every state ends the connection, after what is owed") {
  Serving serving;
  Client client = serving.connect();
  SECTION("idle") {}
  SECTION("after an answer") {
    client.send(get("/1"));
    REQUIRE(serving.answered(client, 1));
  }
  SECTION("in a head") { client.send("GET / HTTP/1.1\r\nHo"); }
  SECTION("in a body") {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  }
  SECTION("in a chunked body") {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
  }
  settle(serving.context);
  client.shut_down_sending();
  REQUIRE(serving.closes(client));
  CHECK(serving.server.connections() == 0);
  CHECK(serving.page.in_flight.get() == 0);
}

TEST_CASE("a client that has said its last still gets its answers, deferred ones too") {
  Serving serving;
  Client client = serving.connect();
  client.send(get("/1") + get("/later") + get("/3"));
  client.shut_down_sending();
  REQUIRE(serving.has_seen(2));
  settle(serving.context);
  CHECK(serving.server.respond(serving.script.seen[1], answer_of("two")) == APPSERVER_OK);
  REQUIRE(serving.closes(client));
  CHECK(client.answers() == 3);
}

TEST_CASE("answers that a client does not take stop it being served until it does") {
  net::HttpLimits limits = small_limits();
  Serving serving(limits);
  const std::string big(200'000, 'b');
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    serving.server.respond(exchange, answer_of(big));
  };
  Client client = serving.connect();
  std::string requests;
  for (int i = 0; i < 40; ++i) requests += get("/");
  client.send(requests);
  settle(serving.context);
  const std::size_t before = serving.script.seen.size();
  CHECK(before * big.size() >= net::HttpServer::kMaxPendingOutput);
  CHECK(before < 15);
  client.send(get("/"));
  settle(serving.context);
  CHECK(serving.script.seen.size() == before);
  REQUIRE(serving.answered(client, 41));
  CHECK(serving.script.seen.size() == 41);
}

TEST_CASE("cut ends all, and counts those with something in flight") {
  Serving serving;
  Client idle = serving.connect();
  Client deferred = serving.connect();
  deferred.send(get("/later"));
  Client in_head = serving.connect();
  in_head.send("GET / HT");
  Client in_body = serving.connect();
  in_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
  Client unread = serving.connect();
  REQUIRE(serving.has_seen(1));
  const std::string big(3'000'000, 'b');
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    serving.server.respond(exchange, answer_of(big));
  };
  unread.send(get("/"));
  REQUIRE(serving.has_seen(2));
  settle(serving.context);
  CHECK(serving.server.cut() == 3);
  CHECK(serving.server.connections() == 0);
  CHECK(serving.page.in_flight.get() == 0);
  CHECK(serving.script.has_ended(serving.script.seen[0]));
  CHECK(serving.server.respond(serving.script.seen[0], answer_of("x")) == APPSERVER_GONE);
  for (Client* client : {&idle, &deferred, &in_head, &in_body, &unread})
    CHECK(serving.closes(*client));
}

TEST_CASE("a server that ends with connections in every state leaves nothing behind") {
  Serving serving;
  std::vector<Client> clients;
  for (const auto& sent : {std::string(), std::string("GET"), get("/later"), get("/1") + get("/2"),
                           std::string("bad\r\n\r\n"), post("/", "x").substr(0, 40)}) {
    clients.push_back(serving.connect());
    if (!sent.empty()) clients.back().send(sent);
  }
  settle(serving.context);
  CHECK(serving.server.connections() == clients.size());
}

TEST_CASE("on_fewer is told of each connection that ends") {
  Serving serving;
  int fewer = 0;
  serving.server.on_fewer([&] { ++fewer; });
  Client first = serving.connect();
  Client second = serving.connect();
  first.end();
  REQUIRE(serving.until([&] { return fewer == 1; }));
  CHECK(serving.server.connections() == 1);
  second.end();
  REQUIRE(serving.until([&] { return fewer == 2; }));
}

TEST_CASE("the client's address is told") {
  Serving serving;
  std::string remote;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request& request) {
    remote = text(request.remote);
    serving.server.respond(exchange, answer_of(""));
  };
  Client tcp = serving.connect_tcp();
  tcp.send(get("/"));
  REQUIRE(serving.answered(tcp, 1));
  CHECK(remote.starts_with("127.0.0.1:"));
  Client local = serving.connect();
  local.send(get("/"));
  REQUIRE(serving.answered(local, 1));
  CHECK(remote == "unix");
}

TEST_CASE("a PROXY header that nobody asked for is refused, and told with where it came from") {
  const std::string header = GENERATE(
      std::string("PROXY TCP4 192.0.2.1 198.51.100.2 5123 443\r\n"),
      std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x14\3\1\xbb", 28));
  Serving serving;
  std::vector<std::string> told;
  serving.server.on_proxy_header([&](std::string_view remote, std::string_view local) {
    told.push_back(std::string(remote) + " at " + std::string(local));
  });
  Client client = serving.connect_tcp();
  client.send(header);
  settle(serving.context);
  client.send(get("/"));
  REQUIRE(serving.until([&] { return !told.empty(); }));
  REQUIRE(serving.answered(client, 1));
  CHECK(client.received.starts_with("HTTP/1.1 400 "));
  CHECK(told.size() == 1);
  CHECK(told[0].starts_with("127.0.0.1:"));
  CHECK(told[0].find(" at 127.0.0.1:") != std::string::npos);

  // Another mistake is none of a proxy's.
  Client other = serving.connect_tcp();
  other.send("NO\x01SENSE\r\n\r\n");
  REQUIRE(serving.answered(other, 1));
  CHECK(told.size() == 1);
}

#include <catch2/catch.hpp>
#include <deque>
#include <memory>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using std::chrono::milliseconds;

namespace {

using Given = net::Handed;

// Two servers of one loop: the old one hands over into `given`, from where the new one is served.
struct Handover {
  void begin() {
    old.server.hand_over([this](Given handed) { given.push_back(std::move(handed)); });
  }

  void serve_given() {
    for (Given& one : given) successor.serve(std::move(one.connection), std::move(one.received));
    given.clear();
  }

  // Answers of either server, with what is handed over going to the successor at once.
  bool answered(Client& client, std::size_t answers) {
    return old.until([&] {
      serve_given();
      client.read_all();
      return client.answers() >= answers;
    });
  }

  Serving old;
  Script script;
  telemetry::WorkerPage page;
  net::HttpServer successor{old.context, small_limits(), script, page};
  std::deque<Given> given;

  Handover() { script.server = &successor; }
};

}  // namespace

TEST_CASE("idle connections are handed over at once and go on with the successor") {
  Handover handover;
  Client fresh = handover.old.connect();
  Client used = handover.old.connect();
  used.send(get("/old"));
  REQUIRE(handover.old.answered(used, 1));
  handover.begin();
  CHECK(handover.given.size() == 2);
  CHECK(handover.old.server.connections() == 0);
  CHECK(handover.old.page.handed_over.get() == 2);
  // Sent while nobody has it.
  used.send(get("/new"));
  fresh.send(get("/fresh"));
  REQUIRE(handover.answered(used, 2));
  REQUIRE(handover.answered(fresh, 1));
  CHECK(used.bodies == std::vector<std::string>{"/old", "/new"});
  CHECK(handover.old.script.seen.size() == 1);
  CHECK(handover.script.seen.size() == 2);
  CHECK_FALSE(used.closed);
}

TEST_CASE("a connection with a request in flight follows behind its answer, which keeps it open") {
  Handover handover;
  Client client = handover.old.connect();
  client.send(get("/later") + get("/2") + get("/3"));
  REQUIRE(handover.old.has_seen(1));
  handover.begin();
  settle(handover.old.context);
  CHECK(handover.given.empty());
  CHECK(handover.old.server.respond(handover.old.script.seen[0], answer_of("one")) == APPSERVER_OK);
  REQUIRE(handover.old.until([&] { return !handover.given.empty(); }));
  // Requests that had been read ahead go with it.
  CHECK(handover.given.front().received == get("/2") + get("/3"));
  REQUIRE(handover.answered(client, 3));
  CHECK(client.bodies == std::vector<std::string>{"one", "/2", "/3"});
  CHECK_FALSE(client.got("Connection: close"));
  CHECK(handover.old.script.seen.size() == 1);
}

TEST_CASE("a stream under way is finished here first") {
  Handover handover;
  handover.old.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    handover.old.server.start(exchange, answer_of("be"), 5);
  };
  Client client = handover.old.connect();
  client.send(get("/"));
  REQUIRE(handover.old.has_seen(1));
  handover.begin();
  const appserver_exchange stream = handover.old.script.seen[0];
  CHECK(handover.old.server.write(stream, "gun") == APPSERVER_OK);
  settle(handover.old.context);
  CHECK(handover.given.empty());
  CHECK(handover.old.server.finish(stream) == APPSERVER_OK);
  client.send(get("/2"));
  REQUIRE(handover.answered(client, 2));
  CHECK(client.bodies == std::vector<std::string>{"begun", "/2"});
}

TEST_CASE("the part of a head that has come is carried, wherever it is cut") {
  const std::string request = get("/1", "X-Long: value\r\n");
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    Handover handover;
    Client client = handover.old.connect();
    client.send(request.substr(0, cut));
    settle(handover.old.context);
    handover.begin();
    REQUIRE(handover.given.size() == 1);
    REQUIRE(handover.given.front().received == request.substr(0, cut));
    handover.serve_given();
    settle(handover.old.context);
    client.send(request.substr(cut));
    REQUIRE(handover.answered(client, 1));
    REQUIRE(handover.script.requests == std::vector<std::string>{"/1"});
  }
}

TEST_CASE("a request whose body is coming is finished here first, and what follows it is not") {
  const bool expects = GENERATE(false, true);
  const bool chunked = GENERATE(false, true);
  const std::string head = fmt::format(
      "POST /1 HTTP/1.1\r\nHost: a\r\n{}{}\r\n\r\n", expects ? "Expect: 100-continue\r\n" : "",
      chunked ? "Transfer-Encoding: chunked" : "Content-Length: 4");
  Handover handover;
  Client client = handover.old.connect();
  client.send(head);
  settle(handover.old.context);
  handover.begin();
  CHECK(handover.given.empty());
  client.read_all();
  CHECK(client.got("100 Continue") == expects);
  client.received.clear();
  client.send(chunked ? "2\r\nbo\r\n" : "bo");
  settle(handover.old.context);
  CHECK(handover.given.empty());
  client.send((chunked ? "2\r\ndy\r\n0\r\n\r\n" : "dy") + get("/2"));
  REQUIRE(handover.answered(client, 2));
  CHECK(client.bodies == std::vector<std::string>{"/1body", "/2"});
  CHECK(handover.old.script.requests == std::vector<std::string>{"/1body"});
  CHECK(handover.script.requests == std::vector<std::string>{"/2"});
}

TEST_CASE(
    "a connection that is scheduled when the handover begins is answered once and loses nothing") {
  Handover handover;
  SECTION("it was just taken over itself, with bytes") {
    auto [served, client_end] = os::make_socket_pair(SOCK_STREAM);
    Client client(std::move(client_end));
    handover.old.server.serve(std::move(served), get("/1") + "GET /2 HT");
    handover.begin();
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(handover.answered(client, 2));
    CHECK(client.bodies == std::vector<std::string>{"/1", "/2"});
    CHECK(handover.old.script.seen.empty());
  }
  SECTION("its answer was just given") {
    Client client = handover.old.connect();
    client.send(get("/later") + get("/2"));
    REQUIRE(handover.old.has_seen(1));
    handover.old.server.respond(handover.old.script.seen[0], answer_of("one"));
    handover.begin();
    CHECK(handover.given.empty());
    REQUIRE(handover.answered(client, 2));
    CHECK(client.bodies == std::vector<std::string>{"one", "/2"});
    CHECK(handover.script.requests == std::vector<std::string>{"/2"});
  }
}

TEST_CASE("an answer that the client takes slowly is whole before its connection goes") {
  Handover handover;
  const std::string big(3'000'000, 'b');
  handover.old.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    handover.old.server.respond(exchange, answer_of(big));
  };
  Client client = handover.old.connect();
  client.send(get("/1") + get("/2"));
  REQUIRE(handover.old.has_seen(1));
  settle(handover.old.context);
  handover.begin();
  CHECK(handover.given.empty());
  REQUIRE(handover.answered(client, 2));
  CHECK(client.bodies.front() == big);
  CHECK(client.bodies.back() == "/2");
}

TEST_CASE("a connection that ends anyway is not handed over") {
  Handover handover;
  Client refused = handover.old.connect();
  refused.send("BAD\r\n\r\n");
  Client closing = handover.old.connect();
  closing.send(get("/later", "Connection: close\r\n"));
  REQUIRE(handover.old.has_seen(1));
  settle(handover.old.context);
  handover.begin();
  handover.old.server.respond(handover.old.script.seen[0], answer_of("bye"));
  REQUIRE(handover.old.closes(closing));
  REQUIRE(handover.old.closes(refused));
  CHECK(refused.got(" 400 "));
  CHECK(closing.answers() == 1);
  CHECK(handover.given.empty());
  refused.end();
  CHECK(handover.old.until([&] { return handover.old.server.connections() == 0; }));
}

TEST_CASE(
    "requests of many pipelining clients are each answered once, across one handover after "
    "another") {
  constexpr std::size_t kRequests = 60;
  boost::asio::io_context context{1};
  telemetry::WorkerPage page;
  Script script;
  std::vector<std::unique_ptr<net::HttpServer>> generations;
  const auto next_generation = [&] {
    generations.push_back(std::make_unique<net::HttpServer>(context, small_limits(), script, page));
    if (generations.size() == 1) return;
    net::HttpServer& successor = *generations.back();
    (*(generations.end() - 2))->hand_over([&successor](Given handed) {
      successor.serve(std::move(handed.connection), std::move(handed.received));
    });
  };
  // Every other request is answered later, by the generation that has it.
  std::vector<std::pair<net::HttpServer*, appserver_exchange>> deferred;
  script.on = [&](appserver_exchange exchange, const appserver_http_request& request) {
    for (const auto& server : generations) {
      if (script.seen.size() % 2 == 0) {
        if (server->respond(exchange, answer_of(text(request.path))) == APPSERVER_OK) return;
      } else if (server->defer(exchange) == APPSERVER_OK) {
        deferred.emplace_back(server.get(), exchange);
        return;
      }
    }
  };
  next_generation();
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) {
    auto [served, client] = os::make_socket_pair(SOCK_STREAM);
    generations.back()->serve(std::move(served));
    clients.emplace_back(std::move(client));
  }
  std::string all;
  for (std::size_t i = 0; i < kRequests; ++i) all += get("/" + std::to_string(i));
  std::size_t sent = 0;
  while (sent < all.size()) {
    // Cut at odd places, so that handovers fall into heads.
    const std::string piece = all.substr(sent, 137);
    sent += piece.size();
    for (Client& client : clients) client.send(piece);
    settle(context);
    next_generation();
    for (const auto& [server, exchange] : std::exchange(deferred, {}))
      server->respond(exchange, answer_of("deferred"));
  }
  const bool done = run_until(context, [&] {
    for (const auto& [server, exchange] : std::exchange(deferred, {}))
      server->respond(exchange, answer_of("deferred"));
    for (Client& client : clients) client.read_all();
    return std::ranges::all_of(clients,
                               [](Client& client) { return client.answers() == kRequests; });
  });
  CHECK(done);
  CHECK(script.seen.size() == kRequests * clients.size());
  CHECK(page.in_flight.get() == 0);
  for (std::size_t i = 0; i + 1 < generations.size(); ++i)
    CHECK(generations[i]->connections() == 0);
}

TEST_CASE(
    "a sink that finds nobody there turns the handover into a polite drain, with every connection "
    "served on") {
  Serving serving;
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(serving.connect());
  clients[0].send(get("/later"));
  REQUIRE(serving.has_seen(1));
  // Big enough to live on the heap: the sink ends within its own call.
  const std::string left_over(100, 's');
  serving.server.hand_over([&serving, left_over](Given handed) {
    serving.server.drain_politely();
    serving.server.serve(std::move(handed.connection), std::move(handed.received));
    CHECK(left_over.size() == 100);
  });
  CHECK(serving.server.connections() == 5);
  serving.server.respond(serving.script.seen[0], answer_of("late"));
  for (std::size_t i = 1; i < clients.size(); ++i) clients[i].send(get("/x"));
  for (Client& client : clients) {
    CHECK(serving.answered(client, 1));
    CHECK(serving.closes(client));
    CHECK(client.got("Connection: close\r\n"));
    client.end();
  }
  CHECK(serving.until([&] { return serving.server.connections() == 0; }));
}

TEST_CASE("a polite drain says so in each answer, and ends silent connections after the linger") {
  Serving serving;
  Client idle = serving.connect_tcp();
  Client asking = serving.connect_tcp();
  Client waiting = serving.connect_tcp();
  waiting.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  serving.server.drain_politely();
  serving.pass(milliseconds(500));
  CHECK(serving.server.connections() == 3);
  asking.send(get("/x"));
  REQUIRE(serving.closes(asking));
  CHECK(asking.answers() == 1);
  CHECK(asking.got("Connection: close\r\n"));
  CHECK_FALSE(idle.closed);
  serving.pass(milliseconds(1'000));
  CHECK(serving.closes(idle));
  // Sent by a client that cannot know yet: its answer is not lost to it.
  waiting.send(get("/too late"));
  serving.server.respond(serving.script.seen[0], answer_of("late"));
  REQUIRE(serving.closes(waiting));
  CHECK(waiting.answers() == 1);
  CHECK(waiting.got("Connection: close\r\n"));
  CHECK_FALSE(waiting.reset);
  serving.pass(milliseconds(1'500));
  CHECK(serving.server.connections() == 0);
}

TEST_CASE("in a polite drain a body that is coming, and a stream, are finished first") {
  Serving serving;
  appserver_exchange stream = 0;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request& request) {
    if (text(request.path) == "/stream") {
      stream = exchange;
      serving.server.start(exchange, answer_of("be"), 5);
    } else {
      serving.server.respond(exchange, answer_of(text(request.body)));
    }
  };
  Client sending = serving.connect();
  sending.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
  Client streaming = serving.connect();
  streaming.send(get("/stream"));
  REQUIRE(serving.has_seen(1));
  settle(serving.context);
  serving.server.drain_politely();
  serving.pass(milliseconds(500));
  sending.send("dy");
  REQUIRE(serving.closes(sending));
  CHECK(sending.answers() == 1);
  CHECK(sending.bodies.back() == "body");
  serving.pass(milliseconds(5'000));
  CHECK(serving.server.write(stream, "gun") == APPSERVER_OK);
  CHECK(serving.server.finish(stream) == APPSERVER_OK);
  REQUIRE(serving.answered(streaming, 1));
  serving.pass(milliseconds(1'500));
  CHECK(serving.server.connections() == 0);
}

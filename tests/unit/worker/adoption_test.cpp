// Workers that take over connections while they serve their own: a sibling of slots that end.
#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "http_server_harness.hpp"
#include "worker/handover.hpp"

using namespace appserver;
using namespace appserver::test;
using worker::Handed;
using worker::HandoverReceiver;
using worker::HandoverSender;

namespace {

// A worker that leaves: it hands over what it has.
struct Leaving {
  Leaving(Serving& loop, os::Fd successor)
      : server(loop.context, small_limits(), script, page),
        sender(loop.context, std::move(successor), [this](std::deque<Handed> left) {
          server.drain_politely();
          for (Handed& one : left) server.serve(std::move(one.connection), std::move(one.received));
        }) {
    script.server = &server;
  }

  Client connect() {
    auto [served, client] = os::make_socket_pair(SOCK_STREAM);
    server.serve(std::move(served));
    return Client(std::move(client));
  }

  void leave() {
    server.hand_over([this](Handed handed) { sender.send(std::move(handed)); });
  }

  Script script;
  telemetry::WorkerPage page;
  net::HttpServer server;
  HandoverSender sender;
};

// The one that stays and adopts, from as many as come.
struct Staying : Serving {
  using Serving::Serving;

  std::unique_ptr<Leaving> sibling() {
    auto [ours, theirs] = os::make_socket_pair(SOCK_SEQPACKET);
    receivers.push_back(std::make_unique<HandoverReceiver>(
        context, std::move(ours),
        [this](Handed handed) {
          page.adopted.add();
          server.serve(std::move(handed.connection), std::move(handed.received));
        },
        [this] { ++ended; }));
    return std::make_unique<Leaving>(*this, std::move(theirs));
  }

  std::vector<std::unique_ptr<HandoverReceiver>> receivers;
  int ended = 0;
};

}  // namespace

TEST_CASE("a worker adopts from several siblings at once while it serves its own, each once") {
  constexpr std::size_t kEach = 50;
  Staying staying;
  Client own = staying.connect();
  own.send(get("/own"));
  REQUIRE(staying.answered(own, 1));
  std::vector<std::unique_ptr<Leaving>> siblings;
  for (int i = 0; i < 3; ++i) siblings.push_back(staying.sibling());
  std::vector<Client> clients;
  for (std::size_t i = 0; i < 3 * kEach; ++i) {
    clients.push_back(siblings[i % 3]->connect());
    // Some have begun a request, some have one in flight, the rest is idle.
    if (i % 5 == 0) clients.back().send("GET /begun HT");
    if (i % 7 == 0 && i % 5 != 0) clients.back().send(get("/later"));
  }
  settle(staying.context);
  for (const auto& sibling : siblings) sibling->leave();
  own.send(get("/own again"));
  settle(staying.context);
  for (const auto& sibling : siblings) {
    for (const appserver_exchange exchange : sibling->script.seen)
      sibling->server.respond(exchange, answer_of("late"));
  }
  REQUIRE(staying.until([&] { return staying.page.adopted.get() == clients.size(); }));
  for (std::size_t i = 0; i < clients.size(); ++i) {
    clients[i].send(i % 5 == 0 ? "TP/1.1\r\nHost: a\r\n\r\n" : get("/after"));
    const std::size_t expected = i % 7 == 0 && i % 5 != 0 ? 2 : 1;
    CHECK(staying.answered(clients[i], expected));
    CHECK(clients[i].bodies.back() == (i % 5 == 0 ? "/begun" : "/after"));
    CHECK_FALSE(clients[i].closed);
  }
  REQUIRE(staying.answered(own, 2));
  for (const auto& sibling : siblings) {
    CHECK(sibling->server.connections() == 0);
    CHECK(sibling->sender.empty());
  }
  CHECK(staying.ended == 0);
  siblings.clear();
  CHECK(staying.until([&] { return staying.ended == 3; }));
  CHECK(staying.server.connections() == clients.size() + 1);
}

TEST_CASE("what a worker that drains still adopts goes on to its own successor") {
  Staying staying;
  const auto sibling = staying.sibling();
  Client client = sibling->connect();
  Client busy = sibling->connect();
  busy.send(get("/later"));
  REQUIRE(staying.until([&] { return sibling->script.seen.size() == 1; }));
  std::vector<Handed> onwards;
  staying.server.hand_over([&](Handed handed) { onwards.push_back(std::move(handed)); });
  sibling->leave();
  REQUIRE(staying.until([&] { return onwards.size() == 1; }));
  busy.send("GET / HT");
  sibling->server.respond(sibling->script.seen[0], answer_of("late"));
  REQUIRE(staying.until([&] { return onwards.size() == 2; }));
  CHECK(staying.answered(busy, 1));
  CHECK(staying.server.connections() == 0);
  CHECK(staying.page.in_flight.get() == 0);
  Serving successor;
  for (Handed& one : onwards)
    successor.server.serve(std::move(one.connection), std::move(one.received));
  busy.send("TP/1.1\r\nHost: a\r\n\r\n");
  client.send(get("/x"));
  CHECK(successor.answered(busy, 2));
  CHECK(successor.answered(client, 1));
}

// Answers that other threads than the loop's give.
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "hosting.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

// Waits for `thread`'s work while the loop runs.
template <typename Work>
void run_beside(Hosting& hosting, Work&& work) {
  std::atomic<bool> done{false};
  std::thread thread([&] {
    work();
    done = true;
  });
  const bool in_time = hosting.until([&] { return done.load(); });
  thread.join();
  CHECK(in_time);
}

}  // namespace

TEST_CASE("another thread may answer a deferred request, once") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/") + get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  run_beside(hosting, [&] {
    const auto& http = *hosting.http;
    CHECK(http.alive(hosting.worker, exchange) == APPSERVER_OK);
    CHECK(http.defer(hosting.worker, exchange) == APPSERVER_INVALID);
    const auto bad = answer_of("x", 42);
    CHECK(http.respond(hosting.worker, exchange, &bad) == APPSERVER_INVALID);
    CHECK(http.write(hosting.worker, exchange, view("x")) == APPSERVER_INVALID);
    CHECK(http.finish(hosting.worker, exchange) == APPSERVER_INVALID);
    const std::string body = "from a thread";
    const auto good = answer_of(body);
    CHECK(http.respond(hosting.worker, exchange, &good) == APPSERVER_OK);
    CHECK(http.respond(hosting.worker, exchange, &good) == APPSERVER_GONE);
    CHECK(http.alive(hosting.worker, exchange) == APPSERVER_GONE);
  });
  REQUIRE(hosting.answered(client, 1));
  CHECK(client.bodies.back() == "from a thread");
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 2; }));
}

TEST_CASE("another thread may stream far more than the bounds, to a client that reads") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  const std::string piece(100'000, 'p');
  constexpr std::size_t kPieces = 100;
  std::atomic<bool> done{false};
  std::atomic<int> limits{0};
  std::atomic<int> errors{0};
  std::thread thread([&] {
    const auto& http = *hosting.http;
    const auto head = answer_of("");
    if (http.start(hosting.worker, exchange, &head, kPieces * 100'000) != APPSERVER_OK) ++errors;
    for (std::size_t i = 0; i < kPieces;) {
      const auto result = http.write(hosting.worker, exchange, view(piece));
      if (result == APPSERVER_OK) {
        ++i;
      } else if (result == APPSERVER_LIMIT) {
        ++limits;
        std::this_thread::yield();
      } else {
        ++errors;
        break;
      }
    }
    if (http.write(hosting.worker, exchange, view("x")) != APPSERVER_INVALID) ++errors;
    if (http.finish(hosting.worker, exchange) != APPSERVER_OK) ++errors;
    done = true;
  });
  const bool all = hosting.until([&] {
    // Slowly enough to reach the bound.
    client.read_once();
    return done.load() && client.received.size() > kPieces * piece.size();
  });
  thread.join();
  REQUIRE(all);
  REQUIRE(hosting.answered(client, 1));
  CHECK(errors == 0);
  CHECK(limits > 0);
  CHECK(client.bodies.back().size() == kPieces * piece.size());
  CHECK_FALSE(client.closed);
}

TEST_CASE("a stream from another thread that ends short, or is aborted, is cut") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  const bool finish = GENERATE(true, false);
  run_beside(hosting, [&] {
    const auto& http = *hosting.http;
    const auto head = answer_of("ab");
    CHECK(http.start(hosting.worker, exchange, &head, 1) == APPSERVER_INVALID);
    CHECK(http.start(hosting.worker, exchange, &head, 10) == APPSERVER_OK);
    CHECK(http.start(hosting.worker, exchange, &head, 10) == APPSERVER_INVALID);
    CHECK(http.respond(hosting.worker, exchange, &head) == APPSERVER_INVALID);
    CHECK(http.write(hosting.worker, exchange, view("123456789")) == APPSERVER_INVALID);
    if (finish) {
      CHECK(http.finish(hosting.worker, exchange) == APPSERVER_INVALID);
    } else {
      CHECK(http.abort(hosting.worker, exchange) == APPSERVER_OK);
    }
    CHECK(http.write(hosting.worker, exchange, view("1")) == APPSERVER_GONE);
  });
  CHECK(hosting.until([&] {
    client.read_all();
    return client.closed;
  }));
  CHECK(client.answers() == 0);
  CHECK(hosting.page.in_flight.get() == 0);
}

TEST_CASE("a thread learns that the client is gone") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  hosting.server.cut();
  run_beside(hosting, [&] {
    const auto answer = answer_of("x");
    CHECK(hosting.http->alive(hosting.worker, exchange) == APPSERVER_GONE);
    CHECK(hosting.http->respond(hosting.worker, exchange, &answer) == APPSERVER_GONE);
    CHECK(hosting.http->start(hosting.worker, exchange, &answer, -1) == APPSERVER_GONE);
    CHECK(hosting.http->abort(hosting.worker, exchange) == APPSERVER_GONE);
  });
}

TEST_CASE("threads that answer many connections at once mix nothing up") {
  Hosting hosting;
  hosting.start();
  struct Job {
    appserver_exchange exchange;
    std::string body;
  };
  std::vector<Job> jobs;
  hosting.on = [&](const appserver_http_request* request, appserver_exchange exchange) {
    jobs.push_back({exchange, std::string(text(request->path))});
    return hosting.http->defer(hosting.worker, exchange);
  };
  std::vector<Client> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(hosting.connect());
    clients.back().send(get("/" + std::to_string(i)));
  }
  REQUIRE(hosting.until([&] { return jobs.size() == 40; }));
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < jobs.size(); i += 4) {
        const auto answer = answer_of(jobs[i].body);
        hosting.http->respond(hosting.worker, jobs[i].exchange, &answer);
      }
    });
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    CHECK(hosting.answered(clients[i], 1));
    CHECK(clients[i].bodies == std::vector<std::string>{"/" + std::to_string(i)});
  }
  for (auto& thread : threads) thread.join();
}

// What a server counts of its answers: those that are errors, and how long they took.
#include <catch2/catch.hpp>
#include <numeric>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

using telemetry::LatencyHistogram;

std::uint64_t timed(const telemetry::WorkerPage& page, std::size_t from_bucket = 0) {
  const auto& buckets = page.latency.buckets;
  return std::accumulate(buckets.begin() + static_cast<std::ptrdiff_t>(from_bucket), buckets.end(),
                         std::uint64_t{0},
                         [](std::uint64_t sum, const auto& bucket) { return sum + bucket.get(); });
}

// The status is the path.
struct Answering : Serving {
  Answering() {
    script.on = [this](appserver_exchange exchange, const appserver_http_request& request) {
      const auto status =
          static_cast<unsigned>(std::stoul(std::string(text(request.path)).substr(1)));
      server.respond(exchange, answer_of("", status));
    };
  }
};

// Real time, for the clock that the server reads.
void spend(milliseconds time) {
  const auto end = steady_clock::now() + time;
  while (steady_clock::now() < end) {
  }
}

}  // namespace

TEST_CASE("answers with a status from 500 to 599 are counted, and no others") {
  Answering serving;
  Client client = serving.connect();
  client.send(get("/200") + get("/404") + get("/499") + get("/500") + get("/503") + get("/599"));
  REQUIRE(serving.answered(client, 6));
  CHECK(serving.page.server_errors.get() == 3);
  CHECK(serving.page.failed.get() == 0);
  CHECK(serving.page.requests.get() == 6);
}

TEST_CASE("an answer that was not valid is not counted, the one that follows it is") {
  Serving serving;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    CHECK(serving.server.respond(exchange, answer_of("", 600)) == APPSERVER_INVALID);
    CHECK(serving.server.start(exchange, answer_of("too long", 500), 3) == APPSERVER_INVALID);
    CHECK(serving.server.respond(exchange, answer_of("", 502)) == APPSERVER_OK);
  };
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.answered(client, 1));
  CHECK(serving.page.server_errors.get() == 1);
}

TEST_CASE("the host's 500 for a plugin that fails is a server error with a time of its own") {
  Serving serving;
  serving.script.on = [](appserver_exchange, const appserver_http_request&) {};
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.answered(client, 1));
  CHECK(client.got("HTTP/1.1 500 "));
  CHECK(serving.page.server_errors.get() == 1);
  CHECK(serving.page.failed.get() == 1);
  CHECK(timed(serving.page) == 1);
}

TEST_CASE("what the host refuses is neither a server error nor timed, whatever its status") {
  Serving serving;
  Client old = serving.connect();
  old.send("GET / HTTP/3.0\r\nHost: a\r\n\r\n");
  REQUIRE(serving.closes(old));
  REQUIRE(old.got("HTTP/1.1 505 "));
  Client bad = serving.connect();
  bad.send("BAD\r\n\r\n");
  REQUIRE(serving.closes(bad));
  CHECK(serving.page.refused.get() == 2);
  CHECK(serving.page.server_errors.get() == 0);
  CHECK(timed(serving.page) == 0);
}

TEST_CASE("a stream counts by its head, once, however it ends") {
  Serving serving;
  appserver_exchange stream = 0;
  const unsigned status = GENERATE(200U, 503U);
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    CHECK(serving.server.start(exchange, answer_of("be", status), 5) == APPSERVER_OK);
    stream = exchange;
  };
  Client client = serving.connect();
  client.send(get("/"));
  REQUIRE(serving.has_seen(1));
  CHECK(serving.page.server_errors.get() == (status == 503 ? 1 : 0));
  CHECK(timed(serving.page) == 0);
  SECTION("whole: it is timed") {
    serving.server.write(stream, "gun");
    CHECK(serving.server.finish(stream) == APPSERVER_OK);
    REQUIRE(serving.answered(client, 1));
    CHECK(timed(serving.page) == 1);
  }
  SECTION("failed: it has no end to be timed") {
    serving.server.fail(stream);
    REQUIRE(serving.closes(client));
    CHECK(timed(serving.page) == 0);
  }
  SECTION("short of what it announced: the same") {
    CHECK(serving.server.finish(stream) == APPSERVER_INVALID);
    REQUIRE(serving.closes(client));
    CHECK(timed(serving.page) == 0);
  }
  CHECK(serving.page.server_errors.get() == (status == 503 ? 1 : 0));
}

TEST_CASE("each answer of a batch is timed, and what one takes is not the next one's") {
  constexpr milliseconds kSlow{300};
  Serving serving;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request& request) {
    if (text(request.path) == "/slow") spend(kSlow);
    serving.server.respond(exchange, answer_of(""));
  };
  Client client = serving.connect();
  client.send(get("/slow") + get("/1") + get("/2"));
  REQUIRE(serving.answered(client, 3));
  CHECK(timed(serving.page) == 3);
  CHECK(timed(serving.page, LatencyHistogram::bucket_of(kSlow)) == 1);
  client.send(get("/3"));
  REQUIRE(serving.answered(client, 4));
  CHECK(timed(serving.page) == 4);
}

TEST_CASE("an answer that comes later is timed from its request to its end, on each connection") {
  constexpr milliseconds kLate{20};
  Serving serving;
  Client first = serving.connect();
  Client second = serving.connect();
  first.send(get("/later"));
  second.send(get("/later"));
  REQUIRE(serving.has_seen(2));
  spend(kLate);
  CHECK(timed(serving.page) == 0);
  for (const appserver_exchange exchange : serving.script.seen)
    serving.server.respond(exchange, answer_of("late"));
  REQUIRE(serving.answered(first, 1));
  REQUIRE(serving.answered(second, 1));
  CHECK(timed(serving.page) == 2);
  CHECK(timed(serving.page, LatencyHistogram::bucket_of(kLate)) == 2);
}

TEST_CASE("time that a connection is idle, or sends its request in, is nobody's answer time") {
  constexpr milliseconds kIdle{300};
  Serving serving;
  Client client = serving.connect();
  client.send(get("/1"));
  REQUIRE(serving.answered(client, 1));
  spend(kIdle);
  const std::string request = post("/2", "body");
  client.send(request.substr(0, request.size() - 2));
  settle(serving.context);
  spend(kIdle);
  client.send(request.substr(request.size() - 2));
  REQUIRE(serving.answered(client, 2));
  CHECK(timed(serving.page) == 2);
  CHECK(timed(serving.page, LatencyHistogram::bucket_of(kIdle)) == 0);
}

TEST_CASE("a client that goes before its answer leaves no time behind") {
  Serving serving;
  Client client = serving.connect();
  client.send(get("/later"));
  REQUIRE(serving.has_seen(1));
  serving.server.cut();
  CHECK(timed(serving.page) == 0);
  CHECK(serving.page.requests.get() == 0);
}

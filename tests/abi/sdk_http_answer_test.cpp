// Answers of other servers that come in pieces.
#include <appserver/http_client.hpp>
#include <appserver/worker.hpp>
#include <catch2/catch.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fake_host.hpp"

using namespace appserver;
using Catch::Matchers::Contains;

namespace {

struct Calling {
  fake::Host host;
  Worker worker{&host.table(), host.worker()};
  std::vector<std::string> seen;

  Calling() { request.url = "http://videos/1"; }

  auto& asked() { return host.get<appserver::testing::ClientHost>(); }
  HttpCall stream() {
    return worker.http().stream(
        request, [this](const HttpResponse& head) { seen.push_back(std::to_string(head.status)); },
        [this](std::string_view piece) { seen.emplace_back(piece); },
        [this](const Outcome<HttpResponse>& end) { seen.emplace_back(end ? "end" : "failed"); });
  }
  HttpRequest request;
};

}  // namespace

TEST_CASE("an answer in pieces is told as it comes, and its end last") {
  Calling at;
  const HttpCall call = at.stream();
  at.asked().begin(1, 200, {});
  at.asked().append(1, "one");
  CHECK(at.seen == std::vector<std::string>{"200", "one"});
  CHECK(call.active());
  at.asked().append(1, "two");
  SECTION("whole") {
    at.asked().finish(1);
    CHECK(at.seen == std::vector<std::string>{"200", "one", "two", "end"});
  }
  SECTION("not whole") {
    at.asked().fail(1, APPSERVER_CALL_LOST, "GET http://videos/1: gone");
    CHECK(at.seen == std::vector<std::string>{"200", "one", "two", "failed"});
  }
  CHECK_FALSE(call.active());
}

TEST_CASE("an answer in pieces that is paused waits, and goes on") {
  Calling at;
  HttpCall call = at.stream();
  at.asked().begin(1, 200, {});
  call.pause();
  at.asked().append(1, "one");
  at.asked().finish(1);
  at.host.run();
  CHECK(at.seen == std::vector<std::string>{"200"});
  call.resume();
  CHECK(at.seen == std::vector<std::string>{"200"});
  at.host.run();
  CHECK(at.seen == std::vector<std::string>{"200", "one", "end"});
}

TEST_CASE("an answer in pieces that is paused is not lost until it goes on") {
  Calling at;
  HttpCall call = at.stream();
  SECTION("with its head told") {
    at.asked().begin(1, 200, {});
    call.pause();
    at.asked().append(1, "one");
    at.asked().fail(1, APPSERVER_CALL_LOST, "GET http://videos/1: gone");
    at.host.run();
    CHECK(at.seen == std::vector<std::string>{"200"});
    CHECK(call.active());
    call.resume();
    at.host.run();
    CHECK(at.seen == std::vector<std::string>{"200", "one", "failed"});
  }
  SECTION("before its head it is") {
    call.pause();
    at.asked().fail(1, APPSERVER_CALL_CONNECT, "GET http://videos/1: connection refused");
    CHECK(at.seen == std::vector<std::string>{"failed"});
  }
  CHECK_FALSE(call.active());
}

TEST_CASE("an answer in pieces ends with its handle, also from within, and with an exception") {
  Calling at;
  std::optional<HttpCall> call;
  const auto ignore = [](const HttpResponse&) {};
  int pieces = 0;
  bool ended = false;
  const auto on_end = [&](const Outcome<HttpResponse>&) { ended = true; };
  SECTION("from within") {
    call = at.worker.http().stream(
        at.request, ignore,
        [&](std::string_view) {
          ++pieces;
          call.reset();
        },
        on_end);
    at.asked().begin(1, 200, {});
    at.asked().append(1, "one");
  }
  SECTION("by an exception") {
    call = at.worker.http().stream(
        at.request, ignore,
        [&](std::string_view) {
          ++pieces;
          throw std::runtime_error("no room");
        },
        on_end);
    at.asked().begin(1, 200, {});
    at.asked().append(1, "one");
    CHECK_THAT(at.host.logged(), Contains("HTTP call: ") && Contains("no room"));
    CHECK_FALSE(call->active());
  }
  CHECK(pieces == 1);
  CHECK_FALSE(ended);
  CHECK(at.host.asked().empty());
}

TEST_CASE("a task reads an answer piece by piece, and nothing is read ahead of it but one") {
  Calling at;
  std::string got;
  const auto read = [&]() -> Task<> {
    HttpAnswer answer = co_await at.worker.http().open(at.request);
    got = std::to_string(answer.head().status);
    try {
      while (const auto piece = co_await answer.read()) got += " " + std::to_string(piece->size());
      got += " end";
    } catch (const ConnectionLost&) {
      got += " lost";
    }
  };
  at.worker.spawn(read());
  REQUIRE(at.host.asked().size() == 1);
  at.asked().begin(1, 206, {});
  CHECK(got == "206");
  at.asked().append(1, std::string(150'000, 'x'));
  at.host.run();
  CHECK(got == "206 65536 65536 18928");
  SECTION("to its end") {
    at.asked().finish(1);
    at.host.run();
    CHECK(got == "206 65536 65536 18928 end");
  }
  SECTION("as far as it comes") {
    at.asked().fail(1, APPSERVER_CALL_LOST, "gone");
    at.host.run();
    CHECK(got == "206 65536 65536 18928 lost");
  }
}

TEST_CASE(
    "an answer that is opened in vain fails, and one that nobody reads any more is cancelled") {
  Calling at;
  std::string got;
  const auto open = [&]() -> Task<> {
    try {
      const HttpAnswer answer = co_await at.worker.http().open(at.request);
      got = std::to_string(answer.head().status);
    } catch (const ConnectError& error) {
      got = error.what();
    }
  };
  Spawned task = at.worker.spawn(open());
  REQUIRE(at.host.asked().size() == 1);
  SECTION("refused") {
    at.asked().fail(1, APPSERVER_CALL_CONNECT, "refused");
    CHECK(got == "refused");
  }
  SECTION("dropped with its head") {
    at.asked().begin(1, 200, {});
    CHECK(got == "200");
  }
  SECTION("dropped with its task") { task.cancel(); }
  CHECK(at.host.asked().empty());
}

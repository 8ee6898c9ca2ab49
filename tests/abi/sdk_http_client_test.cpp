#include <appserver/http_client.hpp>
#include <appserver/worker.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "fake_host.hpp"

using namespace appserver;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

struct Calling {
  fake::Host host;
  Worker worker{&host.table(), host.worker()};
};

}  // namespace

TEST_CASE("a call hands over what it wants and gets the answer") {
  Calling at;
  HttpRequest request;
  request.method = "PUT";
  request.url = "http://prices/today";
  request.headers = {{"X-One", "1"}};
  request.body = "body";
  request.options.timeout = 250ms;
  request.options.ca_file = "/ca.pem";
  std::optional<Outcome<HttpResponse>> got;
  const HttpCall call = at.worker.http().request(
      request, [&](Outcome<HttpResponse> outcome) { got = std::move(outcome); });
  REQUIRE(at.host.asked().size() == 1);
  const fake::Asked& asked = at.host.asked().at(1);
  CHECK(asked.method == "PUT");
  CHECK(asked.url == "http://prices/today");
  CHECK(asked.headers == fake::Fields{{"X-One", "1"}});
  CHECK(asked.body == "body");
  CHECK(asked.timeout_ms == 250);
  CHECK(asked.ca_file == "/ca.pem");
  CHECK(call.active());
  at.host.answer_call(1, 404, {{"Content-Type", "text/plain"}, {"X-Two", "2"}}, "none");
  REQUIRE(got);
  CHECK_FALSE(call.active());
  const HttpResponse& response = got->value();
  CHECK(response.status == 404);
  CHECK(response.header("content-TYPE") == "text/plain");
  CHECK(response.header("X-Three", "-") == "-");
  CHECK(response.body == "none");
}

TEST_CASE("a failed call throws what kind of failure it was, in the host's words") {
  Calling at;
  std::string what;
  bool is_timeout = false;
  at.worker.http()
      .post("http://x/", "text/plain", "hello",
            [&](Outcome<HttpResponse> outcome) {
              try {
                outcome.value();
              } catch (const ConnectError& error) {
                what = error.what();
              } catch (const TimeoutError&) {
                is_timeout = true;
              }
            })
      .detach();
  CHECK(at.host.asked().at(1).headers == fake::Fields{{"Content-Type", "text/plain"}});
  SECTION("connect") {
    at.host.fail_call(1, APPSERVER_CALL_CONNECT, "POST http://x/: connection refused");
    CHECK(what == "POST http://x/: connection refused");
  }
  SECTION("TLS, which is one of connecting") {
    at.host.fail_call(1, APPSERVER_CALL_TLS, "POST http://x/: self-signed");
    CHECK(what == "POST http://x/: self-signed");
  }
  SECTION("timeout") {
    at.host.fail_call(1, APPSERVER_CALL_TIMEOUT, "late");
    CHECK(is_timeout);
  }
}

TEST_CASE("a call goes with its handle, and its function with it") {
  Calling at;
  const auto held = std::make_shared<int>(0);
  {
    const HttpCall call =
        at.worker.http().get("http://x/", [held](const Outcome<HttpResponse>&) {});
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
  CHECK(at.host.asked().empty());
}

TEST_CASE("a detached call ends with the worker, uncalled") {
  const auto held = std::make_shared<int>(0);
  Calling at;
  at.worker.http().get("http://x/", [held](const Outcome<HttpResponse>&) { ++*held; }).detach();
  at.worker.close();
  CHECK(held.use_count() == 1);
  CHECK(*held == 0);
  CHECK(at.host.asked().empty());
}

TEST_CASE("the end of a call may drop its own handle and begin another call") {
  Calling at;
  HttpCall call;
  int ended = 0;
  call = at.worker.http().get("http://one/", [&](const Outcome<HttpResponse>&) {
    ++ended;
    call = at.worker.http().get("http://two/", [&](const Outcome<HttpResponse>&) { ++ended; });
  });
  at.host.answer_call(1, 200, {}, "");
  REQUIRE(at.host.asked().size() == 1);
  CHECK(at.host.asked().at(2).url == "http://two/");
  at.host.answer_call(2, 200, {}, "");
  CHECK(ended == 2);
}

TEST_CASE("an exception that leaves the end of a call is logged") {
  Calling at;
  at.worker.http()
      .get("http://x/", [](Outcome<HttpResponse> outcome) { outcome.value(); })
      .detach();
  at.host.fail_call(1, APPSERVER_CALL_LOST, "GET http://x/: gone");
  CHECK_THAT(at.host.logged(),
             Contains("HTTP call: appserver::ConnectionLost: GET http://x/: gone"));
}

TEST_CASE("a task awaits a call, and goes on with its answer or its failure") {
  Calling at;
  std::string got;
  const auto ask = [&]() -> Task<> {
    const HttpResponse answer = co_await at.worker.http().get("http://prices/today");
    got = std::to_string(answer.status) + " " + answer.body;
    HttpRequest request;
    request.method = "PUT";
    request.url = "http://prices/" + answer.body;
    try {
      co_await at.worker.http().request(request);
    } catch (const ConnectError& error) {
      got = error.what();
    }
    co_await at.worker.http().post("http://prices/", "text/plain", got);
    got = "posted";
  };
  at.worker.spawn(ask());
  REQUIRE(at.host.asked().size() == 1);
  CHECK(at.host.asked().at(1).url == "http://prices/today");
  at.host.answer_call(1, 200, {}, "cheap");
  CHECK(got == "200 cheap");
  CHECK(at.host.asked().at(2).url == "http://prices/cheap");
  at.host.fail_call(2, APPSERVER_CALL_CONNECT, "refused");
  CHECK(got == "refused");
  CHECK(at.host.asked().at(3).body == "refused");
  CHECK(at.host.asked().at(3).headers == fake::Fields{{"Content-Type", "text/plain"}});
  at.host.answer_call(3, 204, {}, "");
  CHECK(got == "posted");
}

TEST_CASE("a call that a task awaits goes with the task") {
  Calling at;
  bool went_on = false;
  const auto ask = [&]() -> Task<> {
    co_await at.worker.http().get("http://prices/");
    went_on = true;
  };
  SECTION("cancelled") {
    Spawned task = at.worker.spawn(ask());
    REQUIRE(at.host.asked().size() == 1);
    task.cancel();
  }
  SECTION("with the worker") {
    at.worker.spawn(ask());
    REQUIRE(at.host.asked().size() == 1);
    at.worker.close();
  }
  CHECK(at.host.asked().empty());
  CHECK_FALSE(went_on);
}

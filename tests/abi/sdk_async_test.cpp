// Requests that coroutines answer: by the hook, and by routes and middlewares.
#include <appserver/awaitable.hpp>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_host.hpp"
#include "fake_plugin.hpp"
#include "scripted.hpp"
#include "tracked.hpp"

using namespace appserver;
using namespace std::chrono_literals;
using fake::State;
using fake::Tracked;

namespace {

using Coroutine = std::function<Task<>(Request&, Response&)>;
Coroutine current;

class AsyncPlugin final : public Plugin {
 public:
  Task<void> on_request_async(Request& request, Response& response) override {
    return current(request, response);
  }
};

constexpr appserver_plugin kAsync = detail::plugin_table<AsyncPlugin>("async", "1.0.0");

struct Fixture {
  fake::Host host;
  fake::Plugin plugin{host, kAsync};

  Fixture() {
    Tracked::alive = Tracked::broken = 0;
    plugin.start();
  }
  ~Fixture() {
    plugin.end();
    current = nullptr;
    CHECK(Tracked::alive == 0);
    CHECK(Tracked::broken == 0);
    CHECK(host.timers() == 0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  appserver_exchange run(Coroutine coroutine, const fake::Request& request = {}) {
    current = std::move(coroutine);
    return plugin.request(request);
  }
};

struct Routed : fake::Scripted {
  Router router;
  std::vector<std::string> steps;

  Routed() {
    Tracked::alive = Tracked::broken = 0;
    on_request([this](Request& request, Response& response) { router.serve(request, response); });
  }
  ~Routed() {
    plugin.end();
    CHECK(Tracked::alive == 0);
    CHECK(Tracked::broken == 0);
  }
  Routed(const Routed&) = delete;
  Routed& operator=(const Routed&) = delete;

  // After a while.
  fake::Answer ask(const std::string& target, const std::string& method = "GET") {
    const auto id = plugin.request({.target = target, .method = method});
    host.advance(1'000);
    return host.answer(id);
  }
};

Task<> answer_later(Request& request, Response& response) {
  const Tracked local(1);
  co_await sleep(10ms);
  response.text(std::string(request.path()));
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a coroutine answers when it has ended, with a request of its own") {
  const auto id = run(
      [](Request& request, Response& response) -> Task<> {
        response.header("X-Early", "1");
        co_await sleep(10ms);
        std::string text(request.method());
        text.append(" ").append(request.target()).append(" ").append(request.path()).append(" ");
        text.append(request.query("q", "")).append(" ").append(request.header("X-A", ""));
        text.append(" ").append(request.body()).append(" ").append(request.remote());
        for (const auto& [name, value] : request.headers()) text.append(" ").append(name);
        response.status(201).text(std::move(text));
      },
      {.target = "/a?q=1", .method = "POST", .headers = {{"x-a", "v"}, {"B", ""}}, .body = "body"});
  CHECK(host.answer(id).state == State::kDeferred);
  host.advance(10);
  const auto got = host.answer(id);
  CHECK(got.state == State::kAnswered);
  CHECK(got.status == 201);
  CHECK(got.body == "POST /a?q=1 /a 1 v body 192.0.2.1:5123 x-a B");
  CHECK(got.header("X-Early") == "1");
  CHECK(host.logged().empty());
}

TEST_CASE_METHOD(Fixture, "a coroutine that does not wait answers at once") {
  const auto id = run([](Request&, Response& response) -> Task<> {
    response.text("now");
    co_return;
  });
  CHECK(host.answer(id).body == "now");
  CHECK_FALSE(host.answer(id).failed);
}

TEST_CASE_METHOD(Fixture, "an exception of a coroutine is 500, whenever it comes") {
  const bool late = GENERATE(false, true);
  const auto id = run(
      [late](Request&, Response& response) -> Task<> {
        const Tracked local(1);
        response.text("half");
        if (late) co_await sleep(1ms);
        throw std::runtime_error("no such table");
      },
      {.target = "/users?id=1"});
  host.advance(1);
  CHECK(host.answer(id).status == 500);
  CHECK(host.answer(id).body == "Internal Server Error\n");
  CHECK(host.logged() == "error: on_request: std::runtime_error: no such table (GET /users)\n");
}

TEST_CASE_METHOD(Fixture, "a coroutine that cannot be made is 500, and the worker lives") {
  const auto id = run([](Request&, Response&) -> Task<> { throw std::bad_alloc(); });
  CHECK(host.answer(id).status == 500);
  CHECK(host.logged().find("std::bad_alloc") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "BadRequest of a coroutine is 400 with its words") {
  const bool late = GENERATE(false, true);
  const auto id = run(
      [late](Request& request, Response& response) -> Task<> {
        if (late) co_await sleep(1ms);
        response.text(std::to_string(request.query("n", 0)));
      },
      {.target = "/?n=x"});
  host.advance(1);
  CHECK(host.answer(id).status == 400);
  CHECK(host.answer(id).body ==
        "query parameter \"n\": expected " + detail::expected<int>() + "\n");
  CHECK(host.logged().empty());
}

TEST_CASE_METHOD(Fixture, "a coroutine that ends without an answer is 500") {
  const auto id = run([](Request&, Response&) -> Task<> { co_await sleep(1ms); });
  host.advance(1);
  CHECK(host.answer(id).status == 500);
  CHECK(host.logged().find("without an answer") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "an answer of a coroutine that is refused is 500 and says why") {
  const auto id = run([](Request&, Response& response) -> Task<> {
    co_await sleep(1ms);
    response.header("X", "a\nb").text("x");
  });
  host.advance(1);
  CHECK(host.answer(id).status == 500);
  CHECK(host.logged().find("does not allow") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a coroutine may send, defer or stream by itself") {
  std::optional<Deferred> kept;
  Coroutine how;
  std::string body;
  SECTION("send") {
    body = "sent";
    how = [](Request&, Response& response) -> Task<> {
      co_await sleep(1ms);
      response.text("sent").send();
      co_await sleep(1ms);
      CHECK_THROWS_AS(response.send(), std::logic_error);
    };
  }
  SECTION("defer") {
    body = "deferred";
    how = [&](Request&, Response& response) -> Task<> {
      co_await sleep(1ms);
      kept = response.defer();
    };
  }
  SECTION("stream") {
    body = "abc";
    how = [](Request&, Response& response) -> Task<> {
      co_await sleep(1ms);
      Stream stream = response.stream("text/plain");
      for (const char* piece : {"a", "b", "c"}) {
        stream.write(piece);
        co_await sleep(1ms);
      }
      stream.finish();
    };
  }
  const auto id = run(how);
  host.advance(10);
  if (kept) kept->text("deferred").send();
  CHECK(host.answer(id).body == body);
  CHECK(host.answer(id).state == State::kAnswered);
  CHECK(host.logged().empty());
}

TEST_CASE_METHOD(Fixture, "a stream that an exception ends is cut") {
  const auto id = run([](Request&, Response& response) -> Task<> {
    Stream stream = response.stream("text/plain");
    stream.write("half");
    co_await sleep(1ms);
    throw std::runtime_error("midway");
  });
  host.advance(1);
  CHECK(host.answer(id).state == State::kAborted);
  CHECK(host.logged() == "error: on_request: std::runtime_error: midway (GET /)\n");
}

TEST_CASE_METHOD(Fixture,
                 "a coroutine whose client has gone is cancelled, and its exchange ended") {
  bool went_on = false;
  const auto waits = [&](Request&, Response& response) -> Task<> {
    const Tracked local(1);
    response.text("half");
    co_await sleep(1h);
    went_on = true;
  };
  const auto id = run(waits);
  const auto other = run(waits);
  CHECK(Tracked::alive == 2);
  SECTION("while the connection is half open") {
    plugin.client_gone(id);
    CHECK(host.answer(id).state == State::kAborted);
  }
  SECTION("while it is closed") {
    host.disconnect(id);
    plugin.client_gone(id);
  }
  CHECK(Tracked::alive == 1);
  CHECK(host.timers() == 1);
  plugin.client_gone(id);
  CHECK(host.answer(other).state == State::kDeferred);
  CHECK(host.logged().empty());
  CHECK_FALSE(went_on);
}

TEST_CASE_METHOD(Fixture, "a client that goes when the coroutine has ended changes nothing") {
  const auto id = run(answer_later);
  host.advance(10);
  plugin.client_gone(id);
  CHECK(host.answer(id).state == State::kAnswered);
}

TEST_CASE_METHOD(Fixture, "a coroutine that has deferred its answer and ended is not cancelled") {
  std::optional<Deferred> kept;
  const auto id = run([&](Request&, Response& response) -> Task<> {
    kept = response.defer();
    co_return;
  });
  plugin.client_gone(id);
  CHECK(kept->text("late").send());
  CHECK(host.answer(id).body == "late");
}

TEST_CASE_METHOD(Fixture, "coroutines of requests end with the worker") {
  for (int i = 0; i < 3; ++i) run(answer_later);
  CHECK(Tracked::alive == 3);
  plugin.end();
  CHECK(Tracked::alive == 0);
}

TEST_CASE_METHOD(Fixture, "send waits while the client reads slowly") {
  host.set_write_bound(3);
  bool ended = false;
  const auto id = run([&](Request&, Response& response) -> Task<> {
    Stream stream = response.stream("text/plain");
    for (int i = 0; i < 3; ++i) {
      if (!co_await stream.send(std::string("piece") + std::to_string(i))) co_return;
    }
    ended = stream.finish();
  });
  host.advance(10'000);
  CHECK(host.answer(id).body == "piece0");
  host.read(id);
  host.advance(1'000);
  CHECK(host.answer(id).body == "piece0piece1");
  SECTION("until it has read") {
    host.read(id);
    host.advance(1'000);
    CHECK(ended);
    CHECK(host.answer(id).body == "piece0piece1piece2");
  }
  SECTION("or has gone") {
    host.disconnect(id);
    host.advance(1'000);
    CHECK_FALSE(ended);
  }
}

TEST_CASE_METHOD(Routed, "a route is answered by a coroutine, with its parameters") {
  router.get("/users/{id}", [](Request&, Response& response, const Params& params) -> Task<> {
    const Tracked local(1);
    co_await sleep(10ms);
    response.text("user " + std::to_string(params.get<int>("id")));
  });
  router.get("/plain", answer_later);
  CHECK(ask("/users/7").body == "user 7");
  CHECK(ask("/plain").body == "/plain");
  CHECK(ask("/plain", "HEAD").status == 200);
  CHECK(ask("/users/x").status == 400);
  CHECK(ask("/none").status == 404);
  CHECK(ask("/plain", "POST").status == 405);
}

TEST_CASE_METHOD(Routed, "a middleware comes before a coroutine, and may answer in its place") {
  router.use([this](Request& request, Response& response, Next next) {
    response.header("X-First", "1");
    if (request.query("stop")) {
      response.text("stopped");
      return;
    }
    next();
    steps.push_back("behind");
  });
  router.get("/later", [this](Request& request, Response& response) -> Task<> {
    steps.push_back("begun");
    co_await answer_later(request, response);
  });
  const auto got = ask("/later");
  CHECK(got.body == "/later");
  CHECK(got.header("X-First") == "1");
  CHECK(steps == std::vector<std::string>{"behind", "begun"});
  CHECK(ask("/later?stop").body == "stopped");
}

TEST_CASE_METHOD(Routed, "a middleware that is a coroutine goes around all that is behind it") {
  router.use([this](Request& request, Response& response, AsyncNext next) -> Task<> {
    const Tracked local(1);
    co_await sleep(1ms);
    if (request.header("X-Key", "").empty()) {
      response.status(401).text("who?");
      co_return;
    }
    steps.push_back("in");
    co_await next();
    steps.push_back("out");
    response.header("X-Behind", "1");
  });
  router.use([this](Request&, Response&, Next next) {
    steps.push_back("plain");
    next();
  });
  router.get("/later", [this](Request& request, Response& response) -> Task<> {
    co_await answer_later(request, response);
    steps.push_back("handler");
  });
  router.get("/now", [](Request&, Response& response) { response.text("now"); });
  router.get("/fails", [](Request&, Response&) -> Task<> {
    co_await sleep(1ms);
    throw BadRequest("bad");
  });
  CHECK(ask("/later").status == 401);
  const auto with_key = [&](const char* target) {
    const auto id = plugin.request({.target = target, .headers = {{"X-Key", "k"}}});
    host.advance(1'000);
    return host.answer(id);
  };
  auto got = with_key("/later");
  CHECK(got.body == "/later");
  CHECK(got.header("X-Behind") == "1");
  CHECK(steps == std::vector<std::string>{"in", "plain", "handler", "out"});
  CHECK(with_key("/now").body == "now");
  CHECK(with_key("/none").status == 404);
  CHECK(with_key("/fails").status == 400);
}

TEST_CASE_METHOD(Routed, "a coroutine middleware that calls next twice is 500") {
  router.use([](Request&, Response&, AsyncNext next) -> Task<> {
    co_await next();
    co_await next();
  });
  router.get("/", [](Request&, Response& response) { response.text("x"); });
  CHECK(ask("/").status == 500);
  CHECK(host.logged().find("called next() twice") != std::string::npos);
}

TEST_CASE_METHOD(Routed, "a request that outlives its hook may be copied and moved") {
  std::optional<Request> kept;
  router.get("/kept", [&](Request& request, Response& response) {
    kept = request.copy();
    response.text("x");
  });
  ask("/kept?a=b");
  const Request moved = std::move(*kept);
  kept.reset();
  CHECK(moved.query("a") == "b");
  CHECK(moved.remote() == "192.0.2.1:5123");
}

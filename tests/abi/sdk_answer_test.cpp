// Answers through Response, Deferred and Stream. Each test gives the plugin's on_request as a
// function.
#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "fake_host.hpp"
#include "fake_plugin.hpp"

using namespace appserver;

namespace {

using Handler = std::function<void(Request&, Response&)>;

// The table knows no state: the handler of the running test goes through here.
Handler current_handler;

class Scripted final : public Plugin {
 public:
  void on_request(Request& request, Response& response) override {
    current_handler(request, response);
  }
};

constexpr appserver_plugin kScripted = detail::plugin_table<Scripted>("scripted", "1.0.0");

struct Fixture {
  fake::Host host;
  fake::Plugin plugin{host, kScripted};

  ~Fixture() { current_handler = nullptr; }

  appserver_exchange run(Handler handler) {
    current_handler = std::move(handler);
    return plugin.request({});
  }
  fake::Answer answer(Handler handler) { return host.answer(run(std::move(handler))); }
};

constexpr const char* kDropped =
    "error: a deferred answer was dropped unsent; the client got 500\n";

}  // namespace

TEST_CASE_METHOD(Fixture, "status, headers and body arrive as set") {
  const auto got = answer([](Request&, Response& response) {
    response.status(201)
        .header("X-A", "1")
        .header("Set-Cookie", "a=1")
        .header("Set-Cookie", "b=2")
        .json("{}");
  });
  REQUIRE(got.status == 201);
  REQUIRE(got.body == "{}");
  REQUIRE(got.headers == fake::Fields{{"Content-Type", "application/json"},
                                      {"X-A", "1"},
                                      {"Set-Cookie", "a=1"},
                                      {"Set-Cookie", "b=2"}});
}

TEST_CASE_METHOD(Fixture, "of several content types the last one counts") {
  auto got = answer(
      [](Request&, Response& response) { response.header("content-TYPE", "a/b").html("x"); });
  REQUIRE(got.headers == fake::Fields{{"Content-Type", "text/html; charset=utf-8"}});
  got = answer(
      [](Request&, Response& response) { response.text("x").header("Content-Type", "a/b"); });
  REQUIRE(got.headers == fake::Fields{{"Content-Type", "a/b"}});
  got = answer([](Request&, Response& response) { response.text("x").body("y", "c/d"); });
  REQUIRE(got.headers == fake::Fields{{"Content-Type", "c/d"}});
  REQUIRE(got.body == "y");
}

TEST_CASE_METHOD(Fixture, "more headers than fit the short list arrive too") {
  for (const int count : {15, 16, 17, 100}) {
    const auto got = answer([&](Request&, Response& response) {
      for (int i = 0; i < count; ++i) response.header("X-" + std::to_string(i), "v");
      response.text("x");
    });
    REQUIRE(got.headers.size() == static_cast<std::size_t>(count) + 1);
    REQUIRE(got.header("X-" + std::to_string(count - 1)) == "v");
  }
}

TEST_CASE_METHOD(Fixture, "what HTTP does not allow in a head fails the request and says why") {
  REQUIRE(answer([](Request&, Response& response) { response.status(99).text("x"); }).status ==
          500);
  REQUIRE(host.errors() ==
          "on_request: std::invalid_argument: answer refused: status 99 is not in 200 .. 599");
  REQUIRE(answer([](Request&, Response& response) {
            response.header("Location", "/\r\nX: 1").text("x");
          }).status == 500);
  REQUIRE(
      host.errors().find("header \"Location\" has a name or a value that HTTP does not allow") !=
      std::string::npos);
  REQUIRE(
      answer([](Request&, Response& response) { response.header("a b", "1").text("x"); }).failed);
  REQUIRE(answer([](Request&, Response& response) { response.body("x", "a/b\n"); }).failed);
  REQUIRE(answer([](Request&, Response& response) {
            response.header("Content-Length", "5").text("x");
          }).status == 500);
  REQUIRE(host.errors().find("refused by the host") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "send answers at once and only once") {
  const auto got = answer([](Request&, Response& response) {
    REQUIRE(response.text("first").send());
    REQUIRE_THROWS_AS(response.send(), std::logic_error);
    REQUIRE_THROWS_AS(response.defer(), std::logic_error);
    REQUIRE_THROWS_AS(response.stream("a/b"), std::logic_error);
    response.text("second");
  });
  REQUIRE(got.body == "first");
  REQUIRE_FALSE(got.failed);
}

TEST_CASE_METHOD(Fixture, "a deferred answer is given by another thread") {
  std::thread thread;
  const auto id = run([&](Request&, Response& response) {
    response.header("X-Early", "1");
    thread = std::thread([later = response.defer()]() mutable {
      later.status(202).text("later");
      if (later.alive()) later.send();
    });
  });
  const auto got = host.wait(id);
  thread.join();
  REQUIRE(got.status == 202);
  REQUIRE(got.body == "later");
  REQUIRE(got.header("X-Early") == "1");
  REQUIRE(host.logged().empty());
}

TEST_CASE_METHOD(Fixture, "a deferred answer that is dropped becomes 500") {
  const auto got =
      answer([](Request&, Response& response) { const auto dropped = response.defer(); });
  REQUIRE(got.status == 500);
  REQUIRE_FALSE(got.failed);
  REQUIRE(host.logged() == kDropped);
}

TEST_CASE_METHOD(Fixture, "assigning over a deferred answer drops the one that was there") {
  std::optional<Deferred> kept;
  const auto first = run([&](Request&, Response& response) { kept = response.defer(); });
  const auto second = run([&](Request&, Response& response) { *kept = response.defer(); });
  REQUIRE(host.answer(first).status == 500);
  REQUIRE(host.answer(second).state == fake::State::kDeferred);
  Deferred moved = std::move(*kept);
  REQUIRE_FALSE(kept->send());
  REQUIRE(moved.text("second").send());
  REQUIRE_FALSE(moved.send());
  REQUIRE(host.answer(second).body == "second");
}

TEST_CASE_METHOD(Fixture, "a deferred answer whose client is gone says so") {
  std::optional<Deferred> later;
  const auto id = run([&](Request&, Response& response) { later = response.defer(); });
  REQUIRE(later->alive());
  host.disconnect(id);
  REQUIRE_FALSE(later->alive());
  REQUIRE_FALSE(later->text("x").send());
  REQUIRE(host.logged().empty());
}

TEST_CASE_METHOD(Fixture, "a deferred answer that is refused becomes 500 without an exception") {
  std::optional<Deferred> later;
  auto id = run([&](Request&, Response& response) { later = response.defer(); });
  REQUIRE_FALSE(later->header("X", "a\nb").text("x").send());
  REQUIRE(host.answer(id).status == 500);
  REQUIRE(host.logged() ==
          "error: answer refused: header \"X\" has a name or a value that HTTP does not allow\n");
  id = run([&](Request&, Response& response) { later = response.defer(); });
  REQUIRE_FALSE(later->header("Connection", "close").send());
  REQUIRE(host.answer(id).status == 500);
}

TEST_CASE_METHOD(Fixture, "a request that defers and then throws gets 500") {
  std::optional<Deferred> later;
  const auto got = answer([&](Request&, Response& response) {
    later = response.defer();
    throw std::runtime_error("after all");
  });
  REQUIRE(got.status == 500);
  REQUIRE(got.failed);
  REQUIRE_FALSE(later->text("x").send());
}

TEST_CASE_METHOD(Fixture, "a stream brings its pieces within on_request") {
  const auto got = answer([](Request&, Response& response) {
    auto stream = response.status(203).header("X-A", "1").stream("text/csv");
    REQUIRE(stream.write("a,") == Write::kTaken);
    REQUIRE(stream.write("") == Write::kTaken);
    REQUIRE(stream.write("b") == Write::kTaken);
    REQUIRE(stream.finish());
    REQUIRE(stream.write("c") == Write::kGone);
    REQUIRE_FALSE(stream.finish());
  });
  REQUIRE(got.state == fake::State::kAnswered);
  REQUIRE(got.status == 203);
  REQUIRE(got.body == "a,b");
  REQUIRE(got.header("Content-Type") == "text/csv");
  REQUIRE(got.header("X-A") == "1");
  REQUIRE(got.content_length == -1);
}

TEST_CASE_METHOD(Fixture, "a stream goes on in another thread") {
  std::thread thread;
  const auto id = run([&](Request&, Response& response) {
    thread = std::thread([stream = response.stream("text/plain")]() mutable {
      for (int i = 0; i < 100; ++i) {
        if (stream.write("x") != Write::kTaken) return;
      }
      stream.finish();
    });
  });
  const auto got = host.wait(id);
  thread.join();
  REQUIRE(got.state == fake::State::kAnswered);
  REQUIRE(got.body == std::string(100, 'x'));
}

TEST_CASE_METHOD(Fixture, "a stream that is dropped unfinished is cut") {
  REQUIRE(answer([](Request&, Response& response) {
            auto stream = response.stream("a/b");
            stream.write("half");
          }).state == fake::State::kAborted);
  REQUIRE(answer([](Request&, Response& response) {
            auto stream = response.stream("a/b");
            throw std::runtime_error("midway");
          }).state == fake::State::kAborted);
  REQUIRE(answer([](Request&, Response& response) {
            auto stream = response.stream("a/b");
            stream = Stream();
          }).state == fake::State::kAborted);
}

TEST_CASE_METHOD(Fixture, "a slow reader is felt as full, and as taken again once it has read") {
  host.set_write_bound(3);
  std::optional<Stream> stream;
  const auto id = run([&](Request&, Response& response) { stream = response.stream("a/b"); });
  REQUIRE(stream->write("abcd") == Write::kTaken);
  REQUIRE(stream->write("e") == Write::kFull);
  REQUIRE(stream->alive());
  host.read(id);
  REQUIRE(stream->write("e") == Write::kTaken);
  REQUIRE(stream->finish());
  REQUIRE(host.answer(id).body == "abcde");
}

TEST_CASE_METHOD(Fixture, "an announced length is kept exactly") {
  REQUIRE(answer([](Request&, Response& response) {
            auto stream = response.stream("a/b", 3);
            stream.write("abc");
            REQUIRE(stream.finish());
          }).content_length == 3);
  REQUIRE(answer([](Request&, Response& response) {
            auto stream = response.stream("a/b", 3);
            REQUIRE(stream.write("abcd") == Write::kGone);
          }).state == fake::State::kAborted);
  REQUIRE(answer([](Request&, Response& response) {
            auto stream = response.stream("a/b", 3);
            stream.write("ab");
            REQUIRE_FALSE(stream.finish());
          }).state == fake::State::kAborted);
  REQUIRE(host.logged() ==
          "error: stream aborted: a piece went over the announced length\n"
          "error: stream aborted: it ended below the announced length\n");
}

TEST_CASE_METHOD(Fixture, "a stream of a client that left is gone") {
  std::optional<Stream> stream;
  const auto id = run([&](Request&, Response& response) { stream = response.stream("a/b"); });
  host.disconnect(id);
  REQUIRE_FALSE(stream->alive());
  REQUIRE(stream->write("x") == Write::kGone);
  REQUIRE_FALSE(stream->finish());
}

TEST_CASE_METHOD(Fixture, "a deferred answer may become a stream") {
  std::optional<Deferred> later;
  const auto id = run([&](Request&, Response& response) { later = response.status(206).defer(); });
  auto stream = later->header("X-A", "1").stream("a/b", 2);
  REQUIRE_FALSE(later->alive());
  REQUIRE(stream.write("ab") == Write::kTaken);
  REQUIRE(stream.finish());
  REQUIRE(host.answer(id).status == 206);
  REQUIRE(host.answer(id).header("X-A") == "1");
}

// The kit with which plugins are tested, where the tests of the SDK do not use it already.
#include <appserver/plugin.hpp>
#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

using namespace appserver;
using namespace std::chrono_literals;
using testing::HarnessOf;
using testing::settings_from_json;

namespace {

class Shop final : public Plugin {
 public:
  void self_check(Worker& worker) override { on_worker_start(worker); }
  void on_worker_start(Worker& worker) override {
    if (worker.settings().require("prices").empty()) throw std::runtime_error("no prices");
    worker.info("slot " + std::to_string(worker.slot()));
  }
  void on_worker_reload(Worker& worker) override { worker.counter("reloads").add(); }
  void on_request(Request& request, Response& response) override {
    if (request.path() == "/later") {
      auto later = response.text("late").defer();
      worker().after(50ms, [later = std::move(later)]() mutable { later.send(); }).detach();
    } else if (request.path() == "/posted") {
      auto later = response.text("posted").defer();
      worker().post([later = std::move(later)]() mutable { later.send(); });
    } else if (request.path() == "/thread") {
      thread_ =
          std::thread([later = response.text("threaded").defer()]() mutable { later.send(); });
    } else if (request.path() == "/stream") {
      stream_ = response.stream("text/plain");
      taken_ = stream_.write("one") == Write::kTaken;
    } else if (request.path() == "/more") {
      const bool taken = stream_.write("two") == Write::kTaken;
      response.text(taken ? "taken" : "not taken");
    } else if (request.path() == "/end") {
      response.text(stream_.finish() ? "whole" : "gone");
    } else if (request.path() == "/forever") {
      again();
      response.text("never");
    } else {
      response.text(std::string(request.method()) + " " + std::string(request.body()));
    }
  }
  ~Shop() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  void again() {
    worker().post([this] { again(); });
  }
  std::thread thread_;
  Stream stream_;
  bool taken_ = false;
};

const testing::SettingMap kPrices{{"prices", "all"}};

}  // namespace

TEST_CASE("a harness starts the plugin, or says why it would not start") {
  REQUIRE_THROWS_WITH(HarnessOf<Shop>(), Catch::Contains("setting \"prices\" is missing"));
  REQUIRE_THROWS_AS(HarnessOf<Shop>({.settings = {{"prices", ""}}}), testing::StartFailed);
  HarnessOf<Shop> harness({.settings = kPrices, .slot = 3});
  REQUIRE(harness.logged() == "info: slot 3\n");
  harness.reload();
  REQUIRE(harness.metric("reloads") == 1);
  REQUIRE(harness.metric("nothing") == -1);
}

TEST_CASE("a self_check is tried without a start") {
  const auto& table = HarnessOf<Shop>::kTable;
  REQUIRE(testing::self_check({.settings = {{"prices", ""}}}, table) ==
          "self_check: std::runtime_error: no prices");
  REQUIRE_FALSE(testing::self_check({.settings = kPrices}, table).has_value());
}

TEST_CASE("answers come at once, later, from posted functions and from threads") {
  HarnessOf<Shop> harness({.settings = kPrices});
  REQUIRE(harness.post("/", "a=1").body() == "POST a=1");
  REQUIRE(harness.request({.method = "HEAD"}).body().empty());
  REQUIRE(harness.get("/posted").body() == "posted");
  const auto later = harness.get("/later");
  REQUIRE(later.state() == testing::State::kDeferred);
  harness.advance(49ms);
  REQUIRE_FALSE(later.done());
  harness.advance(1ms);
  REQUIRE(later.body() == "late");
  const auto threaded = harness.get("/thread");
  REQUIRE(threaded.wait());
  REQUIRE(threaded.body() == "threaded");
}

TEST_CASE("a streamed answer can be followed, slowed down and left") {
  HarnessOf<Shop> harness({.settings = kPrices});
  harness.set_write_bound(2);
  const auto stream = harness.get("/stream");
  REQUIRE(stream.state() == testing::State::kStreaming);
  REQUIRE(stream.body() == "one");
  REQUIRE(harness.get("/more").body() == "not taken");
  stream.read();
  REQUIRE(harness.get("/more").body() == "taken");
  REQUIRE(stream.body() == "onetwo");
  SECTION("to its end") {
    REQUIRE(harness.get("/end").body() == "whole");
    REQUIRE(stream.done());
  }
  SECTION("or not") {
    stream.disconnect();
    REQUIRE(harness.get("/end").body() == "gone");
    REQUIRE_FALSE(stream.done());
  }
}

TEST_CASE("a loop that never rests is told, not waited for") {
  HarnessOf<Shop> harness({.settings = kPrices});
  REQUIRE_THROWS_WITH(harness.get("/forever"), Catch::Contains("does not come to rest"));
}

TEST_CASE("what a plugin does not serve cannot be asked of it") {
  HarnessOf<Shop> harness({.settings = kPrices});
  REQUIRE_THROWS_AS(harness.websocket(), std::logic_error);
  harness.stop();
  REQUIRE_THROWS_AS(harness.get("/"), std::logic_error);
}

TEST_CASE("settings are read from JSON as a worker reads them") {
  const auto map = settings_from_json(
      R"( {"db": {"hosts": ["a", {"port": 5432}], "x.y": null},
           "on": true, "rate": -1.5e3, "text": "\"\u00e4\ud83d\ude00\n"} )");
  REQUIRE(map.at("db.hosts.0") == "a");
  REQUIRE(map.at("db.hosts.1.port") == "5432");
  REQUIRE(map.at("db.hosts") == R"(["a",{"port":5432}])");
  REQUIRE(map.at("db.x.y").empty());
  REQUIRE(map.at("db") == R"({"hosts":["a",{"port":5432}],"x.y":null})");
  REQUIRE(map.at("on") == "true");
  REQUIRE(map.at("rate") == "-1.5e3");
  REQUIRE(map.at("text") == "\"ä😀\n");
  REQUIRE(map.at("").starts_with(R"({"db":{)"));
}

TEST_CASE("JSON that is none says where") {
  const auto* const wrong =
      GENERATE("", "{", "{\"a\" 1}", "{\"a\":1,}", "[1 2]", "{\"a\":01x}", "\"\\q\"", "\"\\u12\"",
               "{\"a\":1,\"a\":2}", "\"\\ud800\"", "nul", "{} {}", "\"open");
  CAPTURE(wrong);
  REQUIRE_THROWS_WITH(settings_from_json(wrong), Catch::Contains("settings: at byte "));
}

TEST_CASE("settings given path by path have a whole, too") {
  testing::Host host({.settings = {{"greeting", "hi"}, {"db.port", "1"}}});
  const Settings settings(&host.table(), host.worker());
  REQUIRE(settings.json() == R"({"greeting":"hi"})");
}

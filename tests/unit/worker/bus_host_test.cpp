// A worker at a real bus in the same process, through the SDK.
#include <sys/socket.h>

#include <appserver/worker.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/server.hpp"
#include "hosting.hpp"
#include "os/message_socket.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace std::chrono_literals;

namespace {

struct AtBus : Hosting {
  AtBus() {
    plugin.bus().start([this](std::uint64_t given) {
      ++asked;
      told_given = given;
      if (bus_server) connect_to_bus();
    });
    start();
    sdk.emplace(host, worker);
    renew();
  }
  // A bus that begins empty, in place of the one there was.
  void renew() {
    bus_server.reset();
    bus_server = std::make_unique<bus::Server>(context, 1 << 20, 1);
  }
  void connect_to_bus() {
    auto [of_bus, of_worker] = os::make_socket_pair(SOCK_SEQPACKET);
    bus_server->add(std::move(of_bus), 1);
    // As from the channel: not before the asking has returned.
    boost::asio::post(context, [this, socket = std::make_shared<os::Fd>(std::move(of_worker))] {
      plugin.bus().connected(std::move(*socket));
    });
  }
  Bus& at() { return sdk->bus(); }

  // What get gives: the value, "(none)", or what was thrown.
  std::string get(std::string_view key) {
    std::optional<std::string> got;
    at().get(key, [&](Outcome<std::optional<BusValue>> outcome) {
      try {
        got = outcome.value() ? outcome.value()->value : "(none)";
      } catch (const BusError& error) {
        got = error.what();
      }
    });
    CHECK_FALSE(got);
    REQUIRE(until([&] { return got.has_value(); }));
    return *got;
  }

  // Whether the log has this by now, and what else it has.
  bool is_logged(const std::string& text) {
    for (std::string line = next_log(); !line.empty(); line = next_log()) logged += line + "\n";
    return logged.find(text) != std::string::npos;
  }

  std::unique_ptr<bus::Server> bus_server;
  std::optional<Worker> sdk;
  int asked = 0;
  std::uint64_t told_given = 0;
  std::string logged;  // each line with its level before it
};

}  // namespace

TEST_CASE("a worker connects to the bus when it first needs it, once") {
  AtBus test;
  CHECK(test.asked == 0);
  CHECK(test.get("key") == "(none)");
  CHECK(test.get("key") == "(none)");
  CHECK(test.asked == 1);
}

TEST_CASE("each operation gives what the bus says") {
  AtBus test;
  std::vector<std::string> got;
  std::uint64_t version = 0;
  test.at().set("key", "one", Bus::kForEver,
                [&](Outcome<std::uint64_t> set) { version = set.value(); });
  test.at().set_if_absent("key", "two", Bus::kForEver,
                          [&](Outcome<std::optional<std::uint64_t>> set) {
                            got.push_back(set.value() ? "set" : "there");
                          });
  REQUIRE(test.until([&] { return got.size() == 1; }));
  CHECK(got[0] == "there");
  CHECK(version != 0);
  test.at().compare_and_set("key", version, "three", Bus::kForEver,
                            [&](Outcome<std::optional<std::uint64_t>> set) {
                              got.push_back(set.value() ? "set" : "changed");
                            });
  test.at().compare_and_set("key", version, "four", Bus::kForEver,
                            [&](Outcome<std::optional<std::uint64_t>> set) {
                              got.push_back(set.value() ? "set" : "changed");
                            });
  test.at().add("count", 5, Bus::kForEver,
                [&](Outcome<std::int64_t> sum) { got.push_back(std::to_string(sum.value())); });
  test.at().add("key", 1, Bus::kForEver, [&](Outcome<std::int64_t> sum) {
    CHECK_THROWS_AS(sum.value(), BusError);
    got.push_back("no number");
  });
  test.at().erase("key", [&](Outcome<bool> was) { got.push_back(was.value() ? "was" : "not"); });
  test.at().erase("key", [&](Outcome<bool> was) { got.push_back(was.value() ? "was" : "not"); });
  REQUIRE(test.until([&] { return got.size() == 7; }));
  CHECK(got == std::vector<std::string>{"there", "set", "changed", "5", "no number", "was", "not"});
}

TEST_CASE("what is published reaches each subscription in order until it ends") {
  AtBus test;
  std::vector<std::string> got;
  Subscription first = test.at().subscribe("news", [&](const BusMessage& message) {
    got.push_back("1" + std::string(message.text));
    if (message.text == "b") first.cancel();
  });
  const Subscription second = test.at().subscribe(
      "news", [&](const BusMessage& message) { got.push_back("2" + std::string(message.text)); });
  for (const char* text : {"a", "b", "c"}) test.at().publish("news", text);
  test.at().publish("other", "x");
  REQUIRE(test.until([&] { return got.size() == 5; }));
  CHECK(got == std::vector<std::string>{"1a", "2a", "1b", "2b", "2c"});
}

TEST_CASE("a worker whose bus is lost connects anew, subscribes again and is told") {
  AtBus test;
  int resets = 0;
  std::vector<std::string> got;
  test.at().on_reset([&] { ++resets; });
  const Subscription news = test.at().subscribe(
      "news", [&](const BusMessage& message) { got.emplace_back(message.text); });
  test.at().set("key", "value", Bus::kForEver, [](Outcome<std::uint64_t>) {});
  CHECK(test.get("key") == "value");
  CHECK(resets == 0);
  CHECK(test.told_given == 0);
  test.renew();
  REQUIRE(test.until([&] { return resets == 1; }));
  CHECK(test.get("key") == "(none)");
  test.at().publish("news", "again");
  REQUIRE(test.until([&] { return got.size() == 1; }));
  CHECK(got[0] == "again");
  CHECK(test.told_given == 1);
}

TEST_CASE("a topic that is left while the bus is away, and taken up again, is heard") {
  AtBus test;
  std::vector<std::string> got;
  const auto hear = [&](const BusMessage& message) { got.emplace_back(message.text); };
  Subscription news = test.at().subscribe("news", hear);
  CHECK(test.get("key") == "(none)");
  const int asked = test.asked;
  test.bus_server.reset();
  // The worker does not know yet that nobody is there to tell.
  news.cancel();
  test.at().publish("other", "x");
  REQUIRE(test.until([&] { return test.asked > asked; }));
  news = test.at().subscribe("news", hear);
  test.renew();
  CHECK(test.get("key") == "(none)");
  test.at().publish("news", "heard");
  CHECK(test.get("key") == "(none)");
  CHECK(got == std::vector<std::string>{"heard"});
}

TEST_CASE("operations end within their deadline where there is no bus, and go on when there is") {
  AtBus test;
  test.bus_server.reset();
  std::vector<std::string> got;
  for (int i = 0; i < 3; ++i) {
    test.at().erase("key", [&](Outcome<bool> was) {
      CHECK_THROWS_AS(was.value(), BusUnreachable);
      got.emplace_back("unreachable");
    });
  }
  REQUIRE(test.until([&] { return got.size() == 3; }));
  test.renew();
  CHECK(test.get("key") == "(none)");
}

TEST_CASE("what is too long, too much or too late for the bus is refused by name") {
  AtBus test;
  const auto ignore = [](auto&&) {};
  CHECK_THROWS_AS(test.at().get("", ignore), BusError);
  CHECK_THROWS_AS(test.at().get(std::string(256, 'k'), ignore), BusError);
  CHECK_THROWS_AS(test.at().publish("news", std::string(65'537, 'm')), BusError);
  CHECK_NOTHROW(test.at().publish(std::string(255, 't'), std::string(65'536, 'm')));
  test.bus_server.reset();
  AtBus full;
  full.bus_server.reset();
  CHECK_THROWS_AS(
      [&] {
        for (int i = 0; i < 1000; ++i) full.at().publish("news", std::string(65'536, 'm'));
      }(),
      BusFull);
  test.plugin.stop();
  CHECK_THROWS_WITH(test.at().get("key", ignore), Catch::Contains("the worker ends"));
}

TEST_CASE("no end of an operation comes once the worker has ended") {
  AtBus test;
  const auto held = std::make_shared<int>();
  bool ended = false;
  test.at().get("key", [&, held](Outcome<std::optional<BusValue>>) { ended = true; });
  test.plugin.stop();
  test.sdk.reset();
  CHECK(held.use_count() == 1);
  test.context.restart();
  test.context.poll();
  CHECK_FALSE(ended);
}

TEST_CASE("a subscription that is said to be in force misses nothing that others publish") {
  AtBus test;
  std::vector<std::string> got;
  bool ready = false;
  const Subscription news = test.at().subscribe(
      "news", [&](const BusMessage& message) { got.emplace_back(message.text); },
      [&](const Outcome<void>& outcome) {
        outcome.value();
        ready = true;
        CHECK(test.bus_server->statistics().subscriptions == 1);
      });
  CHECK_FALSE(ready);
  REQUIRE(test.until([&] { return ready; }));
  auto [of_bus, other] = os::make_socket_pair(SOCK_SEQPACKET);
  test.bus_server->add(std::move(of_bus), 2);
  bus::Header header;
  header.kind = bus::Kind::publish;
  REQUIRE(os::send_packet(other.get(), bus::encode(header, "news", "x")) == os::SendResult::sent);
  REQUIRE(test.until([&] { return got.size() == 1; }));
  CHECK(test.get("news") == "(none)");
}

TEST_CASE("a subscription is not said to be in force without a bus, but is once there is one") {
  AtBus test;
  test.bus_server.reset();
  std::vector<std::string> got;
  bool unreachable = false;
  const Subscription news = test.at().subscribe(
      "news", [&](const BusMessage& message) { got.emplace_back(message.text); },
      [&](const Outcome<void>& outcome) {
        CHECK_THROWS_AS(outcome.value(), BusUnreachable);
        unreachable = true;
      });
  REQUIRE(test.until([&] { return unreachable; }));
  test.renew();
  test.at().publish("news", "later");
  REQUIRE(test.until([&] { return got.size() == 1; }));
}

TEST_CASE("who is told that the bus was lost hears all that is published in answer to it") {
  AtBus test;
  std::vector<std::string> got;
  test.at().on_reset([&] { test.at().publish("news", "what did I miss?"); });
  bool ready = false;
  const Subscription news = test.at().subscribe(
      "news", [&](const BusMessage& message) { got.emplace_back(message.text); },
      [&](const Outcome<void>&) { ready = true; });
  REQUIRE(test.until([&] { return ready; }));
  test.renew();
  REQUIRE(test.until([&] { return !got.empty(); }));
  CHECK(got == std::vector<std::string>{"what did I miss?"});
}

TEST_CASE("messages that no bus takes in time are told of, once in an interval") {
  const auto begin = std::chrono::steady_clock::now();
  AtBus test;
  test.bus_server.reset();
  for (int i = 0; i < 3; ++i) test.at().publish("news", "x");
  test.at().publish("other", "x");
  REQUIRE(test.until([&] { return test.is_logged("\"other\""); }));
  CHECK_THAT(test.logged, Catch::Contains("2dropped 3 messages of topic \"news\": no bus took"));
  CHECK_THAT(test.logged, Catch::Contains("2dropped 1 messages of topic \"other\": no bus took"));
  test.logged.clear();
  test.at().publish("news", "x");
  REQUIRE(test.until([&] { return test.is_logged("\n"); }));
  CHECK_THAT(test.logged, Catch::StartsWith("2dropped 1 messages of topic \"news\": no bus took"));
  CHECK(std::chrono::steady_clock::now() - begin >= bus::Losses::kInterval + 2s);
}

TEST_CASE("a worker that ends tells of the messages that no bus has taken until then") {
  AtBus test;
  SECTION("where there is no bus") {
    test.bus_server.reset();
    test.at().publish("news", "x");
    test.plugin.stop();
    CHECK(test.is_logged("2dropped 1 messages of topic \"news\": the worker ended before"));
  }
  SECTION("but of none that was taken") {
    test.at().publish("news", "x");
    CHECK(test.get("key") == "(none)");
    test.plugin.stop();
    CHECK_FALSE(test.is_logged("dropped"));
  }
}

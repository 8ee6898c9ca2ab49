// What the kit has of the bus, of descriptors and of TLS.
#include <fcntl.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <appserver/testing.hpp>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace appserver;
using namespace std::chrono_literals;
using testing::HarnessOf;
using testing::SharedBus;

namespace {

// At the bus: hears "news".
class Listener : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    news = worker.bus().subscribe("news", [this](const BusMessage& message) {
      heard.push_back(std::string(message.text));
      lost += message.lost;
    });
    worker.bus().on_reset([this] { ++resets; });
  }

  Bus& bus() { return worker().bus(); }
  void get(const std::string& key) {
    bus().get(key, [this](Outcome<std::optional<BusValue>> found) {
      try {
        got = found.value() ? found.value()->value : "(none)";
      } catch (const BusError& error) {
        got = error.what();
      }
    });
  }

  Subscription news;
  std::vector<std::string> heard;
  std::uint64_t lost = 0;
  int resets = 0;
  std::string got;
};

using Heard = std::vector<std::string>;

struct Two {
  std::shared_ptr<SharedBus> bus = std::make_shared<SharedBus>();
  HarnessOf<Listener> a{{.bus = bus}};
  HarnessOf<Listener> b{{.bus = bus}};
};

}  // namespace

TEST_CASE("what one kit's plugin publishes is heard by all that share its bus, when they run") {
  Two two;
  HarnessOf<Listener> other;
  two.a.plugin().bus().publish("news", "one");
  two.a.plugin().bus().publish("news", "two");
  two.a.plugin().bus().publish("else", "three");
  CHECK(two.a.plugin().heard.empty());
  two.a.run();
  two.b.run();
  other.run();
  CHECK(two.a.plugin().heard == Heard{"one", "two"});
  CHECK(two.b.plugin().heard == Heard{"one", "two"});
  CHECK(other.plugin().heard.empty());
  two.b.plugin().news.cancel();
  two.a.plugin().bus().publish("news", "four");
  two.b.run();
  CHECK(two.b.plugin().heard.size() == 2);
}

TEST_CASE(
    "keys are shared, expire by the kit's clock and are changed only where they are as told") {
  Two two;
  std::optional<std::uint64_t> version;
  const auto keep = [&](Outcome<std::optional<std::uint64_t>> set) { version = set.value(); };
  two.a.plugin().bus().set_if_absent("key", "one", 100ms, keep);
  CHECK_FALSE(version);
  two.a.run();
  REQUIRE(version);
  CHECK(two.bus->value("key") == "one");
  two.b.plugin().bus().set_if_absent("key", "two", 100ms, keep);
  const std::uint64_t first = *version;
  two.b.run();
  CHECK_FALSE(version);
  two.b.plugin().bus().compare_and_set("key", first, "three", 100ms, keep);
  two.b.run();
  CHECK(version);
  two.b.plugin().bus().compare_and_set("key", first, "four", 100ms, keep);
  two.b.run();
  CHECK_FALSE(version);
  two.a.advance(99ms);
  two.a.plugin().get("key");
  two.a.run();
  CHECK(two.a.plugin().got == "three");
  two.a.advance(1ms);
  two.b.plugin().get("key");
  two.b.run();
  CHECK(two.b.plugin().got == "three");
  two.a.plugin().get("key");
  two.a.run();
  CHECK(two.a.plugin().got == "(none)");
}

TEST_CASE("a counter at the kit's bus counts, and only what is a number") {
  Two two;
  std::vector<std::string> sums;
  const auto keep = [&](Outcome<std::int64_t> sum) {
    try {
      sums.push_back(std::to_string(sum.value()));
    } catch (const BusFull&) {
      sums.emplace_back("full");
    } catch (const BusError&) {
      sums.emplace_back("no number");
    }
  };
  two.a.plugin().bus().add("count", 5, Bus::kForEver, keep);
  two.b.plugin().bus().add("count", -7, Bus::kForEver, keep);
  two.b.plugin().bus().add("count", INT64_MIN, Bus::kForEver, keep);
  two.a.run();
  two.b.run();
  two.bus->set_full(true);
  two.a.plugin().bus().add("count", 1, Bus::kForEver, keep);
  two.a.run();
  CHECK(sums == Heard{"5", "-2", "no number", "full"});
  CHECK_THROWS_AS(two.a.plugin().bus().publish("", "x"), BusError);
  CHECK_THROWS_AS(two.a.plugin().bus().publish("x", std::string(65537, 'x')), BusError);
}

TEST_CASE("a bus that is lost ends what is under way, forgets the keys and is told of") {
  Two two;
  two.a.plugin().bus().set("key", "value", Bus::kForEver, [](Outcome<std::uint64_t>) {});
  two.a.run();
  two.a.plugin().get("key");
  two.b.plugin().bus().publish("news", "lost");
  two.bus->lose();
  two.a.run();
  two.b.run();
  CHECK(two.a.plugin().got.find("no answer") != std::string::npos);
  CHECK(two.a.plugin().heard.empty());
  CHECK(two.a.plugin().resets == 1);
  CHECK(two.b.plugin().resets == 1);
  two.a.plugin().get("key");
  two.b.plugin().bus().publish("news", "after");
  two.a.run();
  CHECK(two.a.plugin().got == "(none)");
  CHECK(two.a.plugin().heard == Heard{"after"});
}

TEST_CASE("a subscriber that does not run loses the oldest messages and learns how many") {
  Two two;
  for (std::size_t i = 0; i < testing::BusHost::kMostWaiting + 3; ++i)
    two.a.plugin().bus().publish("news", std::to_string(i));
  two.b.run();
  CHECK(two.b.plugin().heard.size() == testing::BusHost::kMostWaiting);
  CHECK(two.b.plugin().heard.front() == "3");
  CHECK(two.b.plugin().lost == 3);
}

namespace {

class PipeReader final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
    watch = worker.watch(ends[0], FdEvents::kRead, [this](FdEvents) {
      char byte = 0;
      if (::read(ends[0], &byte, 1) == 1) got += byte;
    });
  }
  void on_worker_stop(Worker&) override {
    watch.cancel();
    for (const int fd : ends) ::close(fd);
  }

  void watch_again() {
    const auto second = worker().watch(ends[0], FdEvents::kRead, [](FdEvents) {});
  }

  std::array<int, 2> ends{-1, -1};
  FdWatch watch;
  std::string got;
};

}  // namespace

TEST_CASE("a plugin's own descriptor is looked at when the test says so") {
  HarnessOf<PipeReader> harness;
  PipeReader& plugin = harness.plugin();
  CHECK_FALSE(harness.poll_fds(0ms));
  REQUIRE(::write(plugin.ends[1], "ab", 2) == 2);
  harness.run();
  CHECK(plugin.got.empty());
  CHECK(harness.poll_fds());
  CHECK(plugin.got == "a");
  CHECK(harness.poll_fds());
  CHECK(plugin.got == "ab");
  CHECK_FALSE(harness.poll_fds(0ms));
  CHECK_THROWS(plugin.watch_again());
  plugin.watch.cancel();
  REQUIRE(::write(plugin.ends[1], "c", 1) == 1);
  CHECK_FALSE(harness.poll_fds(0ms));
}

namespace {

class Doorman final : public Plugin {
 public:
  static std::string words(const std::optional<TlsInfo>& tls) {
    return tls ? tls->version + " " + tls->client_subject : "plain";
  }
  void on_request(Request& request, Response& response) override {
    response.text(words(request.tls()));
  }
  void on_connect(Connection connection) override {
    const ConnectionInfo info = connection.info();
    connection.send(words(info.tls) + " at " + info.listener);
  }
  void on_message(Connection, Message) override {}
};

}  // namespace

TEST_CASE("a request and a connection can be under TLS, with these facts") {
  HarnessOf<Doorman> harness;
  TlsInfo tls;
  tls.version = "TLSv1.3";
  tls.client_subject = "CN=ada";
  CHECK(harness.get("/").body() == "plain");
  CHECK(harness.request({.tls = tls}).body() == "TLSv1.3 CN=ada");
  CHECK(harness.connect(testing::Protocol::kText).receive() == "plain at text://198.51.100.1:80");
  CHECK(harness.connect(testing::Protocol::kText, tls).receive() ==
        "TLSv1.3 CN=ada at text+tls://198.51.100.1:80");
  CHECK(harness.connect(testing::Protocol::kTcp, tls).receive() ==
        "TLSv1.3 CN=ada at tls://198.51.100.1:80");
}

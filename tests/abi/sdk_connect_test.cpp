// What a plugin gets of the connections that it opens.
#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace appserver;
using namespace appserver::testing;
using Catch::Matchers::Contains;

namespace {

const std::string kUrl = "text://prices:2000";

// Notes what it is told; a test may put its own handlers in the place of these.
class Dialer : public Plugin {
 public:
  void dial(const ConnectOptions& options = {}) {
    outbound = worker().connect(kUrl, options, handlers());
  }

  ConnectHandlers handlers() {
    return {.on_open =
                [this](Connection peer) {
                  note("open");
                  if (opens) opens(peer);
                },
            .on_message =
                [this](Connection peer, Message message) {
                  note("message " + std::string(message));
                  if (hears) hears(peer);
                },
            .on_close =
                [this](Connection, const Disconnected& close) {
                  note("close " + std::to_string(static_cast<int>(close.reason)) +
                       (close.again ? " again" : " over"));
                  if (closes) closes();
                },
            .on_buffer_full = [this](Connection) { note("full"); },
            .on_buffer_drain = [this](Connection) { note("drain"); },
            .on_failed =
                [this](const ConnectFailed& failed) {
                  note(std::string(failed.what) + (failed.again ? " again" : " over"));
                  try {
                    std::rethrow_exception(failed.error);
                  } catch (const ConnectError&) {
                    ++connect_errors;
                  } catch (const ClientError&) {
                  }
                  if (fails) fails();
                }};
  }
  void note(std::string what) { events.push_back(std::move(what)); }

  std::vector<std::string> events;
  int connect_errors = 0;
  std::function<void(Connection)> opens;
  std::function<void(Connection)> hears;
  std::function<void()> closes;
  std::function<void()> fails;
  Outbound outbound;
};

using Events = std::vector<std::string>;

}  // namespace

TEST_CASE("a connection that a plugin opens is one like those of its clients") {
  HarnessOf<Dialer> kit;
  Dialer& plugin = kit.plugin();
  plugin.opens = [](Connection peer) {
    peer.emplace<int>(7);
    peer.send("hello");
  };
  plugin.dial();
  REQUIRE(plugin.events.empty());
  REQUIRE(plugin.outbound.active());
  REQUIRE_FALSE(plugin.outbound.connection());
  Client peer = kit.outbound(kUrl);
  REQUIRE(peer.receive() == "hello");
  REQUIRE(plugin.outbound.connection().info().protocol == "text");
  REQUIRE(plugin.outbound.connection().info().listener == kUrl);
  REQUIRE(*plugin.outbound.connection().get<int>() == 7);
  REQUIRE(kit.connections() == 0);
  peer.send("a price");
  peer.close();
  REQUIRE(plugin.events == Events{"open", "message a price", "close 0 over"});
  REQUIRE_FALSE(plugin.outbound.active());
}

TEST_CASE("a connect that fails is told with its reason, and is tried as often as asked for") {
  HarnessOf<Dialer> kit;
  Dialer& plugin = kit.plugin();
  plugin.dial({.retries = 1});
  kit.fail_outbound(kUrl, APPSERVER_CALL_CONNECT, "refused");
  REQUIRE(plugin.events.back() == kUrl + ": refused again");
  REQUIRE(plugin.outbound.active());
  kit.fail_outbound(kUrl, APPSERVER_CALL_CONNECT, "refused");
  REQUIRE(plugin.events.back() == kUrl + ": refused over");
  REQUIRE(plugin.connect_errors == 2);
  REQUIRE_FALSE(plugin.outbound.active());
  REQUIRE(kit.dialed().empty());
  REQUIRE_THROWS_AS(kit.outbound(kUrl), std::logic_error);
}

TEST_CASE("a lost connection is opened again, one that the plugin closes is not") {
  HarnessOf<Dialer> kit;
  Dialer& plugin = kit.plugin();
  plugin.dial({.retries = ConnectOptions::kForever});
  kit.outbound(kUrl).reset();
  REQUIRE(plugin.events.back() == "close 5 again");
  Client again = kit.outbound(kUrl);
  plugin.outbound.connection().close();
  kit.run();
  REQUIRE(plugin.events.back() == "close 1 over");
  REQUIRE_FALSE(again.is_open());
}

TEST_CASE("what leaves a handler is logged, and the connection is opened again") {
  HarnessOf<Dialer> kit;
  Dialer& plugin = kit.plugin();
  plugin.dial({.retries = 5});
  SECTION("on_open") {
    plugin.opens = [](Connection) { throw std::runtime_error("no greeting"); };
    Client peer = kit.outbound(kUrl);
    REQUIRE(peer.was_reset());
    REQUIRE_THAT(kit.logged(), Contains("on_open: std::runtime_error: no greeting"));
  }
  SECTION("on_message") {
    plugin.hears = [](Connection) { throw std::runtime_error("no price"); };
    Client peer = kit.outbound(kUrl);
    peer.send("?");
    REQUIRE_FALSE(peer.is_open());
    REQUIRE_THAT(kit.logged(), Contains("on_message: std::runtime_error: no price"));
  }
  REQUIRE(plugin.events.back() == "close 1 again");
  REQUIRE(kit.dialed().size() == 1);
}

TEST_CASE("a handle that is cancelled is silent from then on, within each of its handlers, too") {
  HarnessOf<Dialer> kit;
  Dialer& plugin = kit.plugin();
  const auto held = std::make_shared<int>(1);
  const auto cancel = [&plugin] { plugin.outbound.cancel(); };
  plugin.dial({.retries = 5});
  SECTION("before it is open") {
    plugin.outbound = {};
    REQUIRE(kit.dialed().empty());
  }
  SECTION("in on_open, with what it has sent") {
    int* kept = nullptr;
    plugin.opens = [&](Connection peer) {
      kept = &peer.emplace<int>(7);
      peer.send("bye");
      cancel();
      REQUIRE(*kept == 7);
    };
    Client peer = kit.outbound(kUrl);
    REQUIRE(peer.receive() == "bye");
    REQUIRE_FALSE(peer.is_open());
  }
  SECTION("in on_message") {
    plugin.hears = [&](Connection) { cancel(); };
    Client peer = kit.outbound(kUrl);
    peer.send("one");
    REQUIRE_FALSE(peer.is_open());
  }
  SECTION("in on_close") {
    plugin.closes = cancel;
    kit.outbound(kUrl).reset();
    REQUIRE(plugin.events.back() == "close 5 again");
  }
  SECTION("in on_failed") {
    plugin.fails = cancel;
    kit.fail_outbound(kUrl, APPSERVER_CALL_TIMEOUT, "too late");
  }
  const auto events = plugin.events;
  REQUIRE_FALSE(plugin.outbound.active());
  REQUIRE(kit.dialed().empty());
  kit.run();
  REQUIRE(plugin.events == events);
}

TEST_CASE("an outbound connection has back-pressure, as others have") {
  HarnessOf<Dialer> kit({.send_buffer = 10});
  Dialer& plugin = kit.plugin();
  plugin.dial();
  Client peer = kit.outbound(kUrl);
  peer.stop_reading();
  REQUIRE(plugin.outbound.connection().send("0123456789"));
  REQUIRE_FALSE(plugin.outbound.connection().send("more"));
  kit.run();
  REQUIRE(plugin.events.back() == "full");
  peer.read();
  REQUIRE(plugin.events.back() == "drain");
}

TEST_CASE("outbound connections end with the worker") {
  HarnessOf<Dialer> kit;
  Dialer& plugin = kit.plugin();
  plugin.dial({.retries = ConnectOptions::kForever});
  Client peer = kit.outbound(kUrl);
  auto ended = std::make_shared<std::string>();
  plugin.closes = [&plugin, ended] { *ended = plugin.events.back(); };
  kit.stop();
  REQUIRE(*ended == "close 6 over");
  REQUIRE_FALSE(peer.is_open());
}

TEST_CASE("a connect without on_message is a mistake") {
  class Deaf final : public Plugin {
   public:
    void on_worker_start(Worker& worker) override { worker.connect(kUrl, {}).detach(); }
  };
  REQUIRE_THROWS_WITH(HarnessOf<Deaf>(), Contains("no on_message"));
}

#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "fake_host.hpp"
#include "fake_plugin.hpp"

using namespace appserver;

namespace {

class Hello final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    greeting_ = worker.settings().get("greeting", "hello");
  }
  void on_request(Request& request, Response& response) override {
    response.text(greeting_ + ", " + request.query("name", "world") + "\n");
  }

 private:
  std::string greeting_;
};

class ThrowsEverywhere final : public Plugin {
 public:
  void self_check(Worker&) override { throw std::runtime_error("the price list is empty"); }
  void on_worker_start(Worker&) override { throw std::runtime_error("cannot open prices.db"); }
  void on_worker_reload(Worker&) override { throw std::runtime_error("cannot read again"); }
  void on_worker_stop(Worker&) override { throw 7; }
  void on_request(Request& request, Response& response) override {
    response.text("half an answer");
    if (request.path() == "/int") throw 42;
    if (request.path() == "/bad") throw BadRequest("no such price");
    if (request.path() == "/sent") response.send();
    throw std::out_of_range("price 17");
  }
};

class ThrowsWhenMade final : public Plugin {
 public:
  ThrowsWhenMade() { throw std::runtime_error("no licence"); }
};

class NoHttp : public Plugin {
 public:
  void on_worker_start(Worker&) override {}
};

class PrivateHook : public Plugin {
  void on_request(Request&, Response& response) override { response.status(204); }
};

class InheritsHook final : public PrivateHook {};

class PrivateCheck : public Plugin {
  void self_check(Worker& worker) override {
    if (worker.settings().get("prices", "").empty()) throw std::runtime_error("no prices");
  }
};

class InheritsCheck final : public PrivateCheck {};

class Forgets final : public Plugin {
 public:
  void on_request(Request&, Response&) override {}
};

constexpr appserver_plugin kHello = detail::plugin_table<Hello>("hello", "1.0.0");
constexpr appserver_plugin kThrows = detail::plugin_table<ThrowsEverywhere>("throws", "1.0.0");
constexpr appserver_plugin kThrowsWhenMade =
    detail::plugin_table<ThrowsWhenMade>("throws-when-made", "1.0.0");
constexpr appserver_plugin kNoHttp = detail::plugin_table<NoHttp>("no-http", "1.0.0");
constexpr appserver_plugin kPrivateHook = detail::plugin_table<PrivateHook>("private", "1.0.0");
constexpr appserver_plugin kInheritsHook = detail::plugin_table<InheritsHook>("inherits", "1.0.0");
constexpr appserver_plugin kPrivateCheck = detail::plugin_table<PrivateCheck>("check", "1.0.0");
constexpr appserver_plugin kInheritsCheck = detail::plugin_table<InheritsCheck>("check", "1.0.0");
constexpr appserver_plugin kForgets = detail::plugin_table<Forgets>("forgets", "1.0.0");

}  // namespace

TEST_CASE("a plugin of one screen greets") {
  fake::Host host(fake::Settings{{"greeting", "hi"}});
  fake::Plugin plugin(host, kHello);
  REQUIRE(plugin.created() == APPSERVER_OK);
  REQUIRE(plugin.start() == APPSERVER_OK);
  const auto answer = plugin.get("/?name=Ada+B");
  REQUIRE(answer.status == 200);
  REQUIRE(answer.body == "hi, Ada B\n");
  REQUIRE(answer.header("Content-Type") == "text/plain; charset=utf-8");
  REQUIRE_FALSE(answer.failed);
}

TEST_CASE("wrong percent-encoding from a client is its fault, not the plugin's") {
  fake::Host host;
  fake::Plugin plugin(host, kHello);
  REQUIRE(plugin.start() == APPSERVER_OK);
  const auto answer = plugin.get("/?name=%zz");
  REQUIRE(answer.status == 400);
  REQUIRE(answer.body == "query parameter \"name\" is not percent-encoded rightly\n");
  REQUIRE_FALSE(answer.failed);
}

TEST_CASE("an exception in on_worker_start fails the start with its type and text") {
  fake::Host host;
  fake::Plugin plugin(host, kThrows);
  REQUIRE(plugin.start() == APPSERVER_ERROR);
  REQUIRE(host.errors() == "on_worker_start: std::runtime_error: cannot open prices.db");
}

TEST_CASE("an exception in self_check fails the check with its type and text") {
  fake::Host host;
  const fake::Plugin plugin(host, kThrows);
  REQUIRE(kThrows.self_check(plugin.self()) == APPSERVER_ERROR);
  REQUIRE(host.errors() == "self_check: std::runtime_error: the price list is empty");
}

TEST_CASE("self_check sees the settings of the group") {
  const auto* const prices = GENERATE("prices.db", "");
  fake::Host host(fake::Settings{{"prices", prices}});
  const fake::Plugin plugin(host, kInheritsCheck);
  REQUIRE(kInheritsCheck.self_check(plugin.self()) ==
          (*prices == '\0' ? APPSERVER_ERROR : APPSERVER_OK));
}

TEST_CASE("only a plugin with a self_check has that hook") {
  REQUIRE(kHello.self_check == nullptr);
  REQUIRE(kThrows.self_check != nullptr);
  REQUIRE(kPrivateCheck.self_check != nullptr);
  REQUIRE(kInheritsCheck.self_check != nullptr);
}

TEST_CASE("an exception in on_request fails that request alone") {
  fake::Host host;
  fake::Plugin plugin(host, kThrows);
  auto answer = plugin.get("/");
  REQUIRE(answer.status == 500);
  REQUIRE(answer.failed);
  REQUIRE(answer.body.empty());
  REQUIRE(host.errors() == "on_request: std::out_of_range: price 17");

  answer = plugin.get("/int");
  REQUIRE(answer.status == 500);
  REQUIRE(host.errors() == "on_request: int");

  answer = plugin.get("/bad");
  REQUIRE(answer.status == 400);
  REQUIRE(answer.body == "no such price\n");

  answer = plugin.get("/sent");
  REQUIRE(answer.status == 200);
  REQUIRE(answer.body == "half an answer");
  REQUIRE(answer.failed);
}

TEST_CASE("exceptions in on_worker_reload and on_worker_stop are logged") {
  fake::Host host;
  {
    fake::Plugin plugin(host, kThrows);
    plugin.reload();
    kThrows.on_worker_stop(plugin.self());
  }
  REQUIRE(host.logged() ==
          "error: on_worker_reload: std::runtime_error: cannot read again\n"
          "error: on_worker_stop: int\n");
}

TEST_CASE("a constructor that throws fails create") {
  fake::Host host;
  const fake::Plugin plugin(host, kThrowsWhenMade);
  REQUIRE(plugin.created() == APPSERVER_ERROR);
  REQUIRE(host.errors() == "constructor: std::runtime_error: no licence");
}

TEST_CASE("only a plugin with on_request says that it serves HTTP") {
  REQUIRE(kNoHttp.extension(APPSERVER_HTTP) == nullptr);
  REQUIRE(kHello.extension(APPSERVER_HTTP) != nullptr);
  REQUIRE(kPrivateHook.extension(APPSERVER_HTTP) != nullptr);
  REQUIRE(kInheritsHook.extension(APPSERVER_HTTP) != nullptr);
  REQUIRE(kHello.extension("http/2") == nullptr);
  fake::Host host;
  fake::Plugin plugin(host, kInheritsHook);
  REQUIRE(plugin.get("/").status == 204);
}

TEST_CASE("returning without an answer is an error of the plugin") {
  fake::Host host;
  fake::Plugin plugin(host, kForgets);
  const auto answer = plugin.get("/");
  REQUIRE(answer.status == 500);
  REQUIRE(answer.failed);
  REQUIRE(host.errors() == "on_request: std::logic_error: on_request returned without an answer");
}

TEST_CASE("a host that cannot carry the plugin is told why") {
  fake::Host host;
  SECTION("without http") {
    host.table().extension = [](const char*) noexcept -> const void* { return nullptr; };
    REQUIRE(fake::Plugin(host, kHello).created() == APPSERVER_ERROR);
    REQUIRE(host.errors() == "the host lacks http/1");
    REQUIRE(fake::Plugin(host, kNoHttp).created() == APPSERVER_OK);
  }
  SECTION("with a shorter table") {
    host.table().size = offsetof(appserver_host, metric_set);
    REQUIRE(fake::Plugin(host, kHello).created() == APPSERVER_ERROR);
    REQUIRE(host.errors() == "the host's table is shorter than ABI 1.0");
  }
  SECTION("of another major version") {
    host.table().abi_major = 2;
    REQUIRE(fake::Plugin(host, kHello).created() == APPSERVER_ERROR);
    REQUIRE(host.errors() == "the host speaks another major version of the plugin ABI");
  }
}

TEST_CASE("the table says what the plugin is") {
  REQUIRE(kHello.size == sizeof(appserver_plugin));
  REQUIRE(kHello.abi_major == APPSERVER_ABI_MAJOR);
  REQUIRE(std::string(kHello.name) == "hello");
  REQUIRE(std::string(kHello.version) == "1.0.0");
}

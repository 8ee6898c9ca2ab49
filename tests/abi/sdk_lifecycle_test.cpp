// What a plugin leaves to its successor, and its drain, through the C++ layer.
#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

#include "fake_host.hpp"
#include "fake_plugin.hpp"

using namespace appserver;

namespace {

class Keeps final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    const auto left = worker.predecessor_state();
    if (left) text_ = std::string(left->bytes) + "/" + std::to_string(left->version);
  }
  void on_save_state(SavedState& state) override {
    if (text_ == "broken/1") throw std::runtime_error("the shelf is locked");
    if (text_ == "large/1") text_.assign(APPSERVER_STATE_MAX + 1, 's');
    state.version = 9;
    state.bytes = text_;
  }
  void on_worker_drain(Worker& worker) override {
    worker.info("drains");
    throw 42;
  }

 private:
  std::string text_ = "empty";
};

class OnlySaves : public Plugin {
  void on_save_state(SavedState&) override {}
};
class Inherits final : public OnlySaves {};
class Neither final : public Plugin {};

constexpr auto kKeeps = detail::plugin_table<Keeps>("keeps", "1.0.0");
constexpr auto kInherits = detail::plugin_table<Inherits>("inherits", "1.0.0");
constexpr auto kNeither = detail::plugin_table<Neither>("neither", "1.0.0");

std::string text(const appserver_state& state) { return {state.data.data, state.data.size}; }

}  // namespace

TEST_CASE("a plugin finds what its predecessor left, and leaves what it says") {
  fake::Host host;
  std::int32_t result = APPSERVER_ERROR;
  SECTION("with a predecessor") {
    host.leave(3, "abc");
    fake::Plugin plugin(host, kKeeps);
    REQUIRE(plugin.start() == APPSERVER_OK);
    const appserver_state state = plugin.save(result);
    REQUIRE(result == APPSERVER_OK);
    REQUIRE(state.version == 9);
    REQUIRE(text(state) == "abc/3");
  }
  SECTION("without") {
    fake::Plugin plugin(host, kKeeps);
    REQUIRE(plugin.start() == APPSERVER_OK);
    REQUIRE(text(plugin.save(result)) == "empty");
  }
}

TEST_CASE("an on_save_state that throws, or gives too much, fails with the reason") {
  fake::Host host;
  std::int32_t result = APPSERVER_OK;
  SECTION("throws") {
    host.leave(1, "broken");
    fake::Plugin plugin(host, kKeeps);
    REQUIRE(plugin.start() == APPSERVER_OK);
    plugin.save(result);
    REQUIRE(host.errors() == "on_save_state: std::runtime_error: the shelf is locked");
  }
  SECTION("too much") {
    host.leave(1, "large");
    fake::Plugin plugin(host, kKeeps);
    REQUIRE(plugin.start() == APPSERVER_OK);
    plugin.save(result);
    REQUIRE(host.errors() == "on_save_state: std::length_error: more than 16 MiB of state");
  }
  REQUIRE(result == APPSERVER_ERROR);
}

TEST_CASE("an on_worker_drain that throws is logged") {
  fake::Host host;
  fake::Plugin plugin(host, kKeeps);
  REQUIRE(plugin.start() == APPSERVER_OK);
  plugin.drain();
  REQUIRE(host.logged() == "info: drains\nerror: on_worker_drain: int\n");
}

TEST_CASE("a plugin has only the hooks of its life that it overrides") {
  fake::Host host;
  const fake::Plugin inherits(host, kInherits);
  REQUIRE(inherits.lifecycle()->save_state != nullptr);
  REQUIRE(inherits.lifecycle()->on_worker_drain == nullptr);
  const fake::Plugin neither(host, kNeither);
  REQUIRE(neither.lifecycle() == nullptr);
}

#include "worker/lifecycle_host.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <thread>

#include "hosting.hpp"
#include "os/memfd.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

struct Lifecycle final : Hosting {
  std::int32_t save_state(appserver_state* saved) noexcept override {
    if (result != APPSERVER_OK) {
      host->report_error(worker, view("the shelf is locked"));
      return result;
    }
    saved->version = 7;
    saved->data = view(bytes);
    return result;
  }
  void on_worker_drain() noexcept override { hooks.push_back("on_worker_drain"); }

  // What predecessor_state gives, asked where the test asks.
  std::int32_t ask() {
    const auto* lifecycle =
        static_cast<const appserver_lifecycle_host*>(host->extension(APPSERVER_LIFECYCLE));
    state = {};
    state.size = sizeof(state);
    return lifecycle->predecessor_state(worker, &state);
  }
  std::string got() const { return {state.data.data, state.data.size}; }

  std::int32_t result = APPSERVER_OK;
  std::string bytes = "abc";
  appserver_state state{};
};

}  // namespace

TEST_CASE("what save_state gives comes to on_worker_start of the next worker") {
  Lifecycle before;
  before.start();
  REQUIRE(before.plugin.lifecycle().saves_state());
  const auto saved = before.plugin.lifecycle().save();
  REQUIRE(saved.failure.empty());
  REQUIRE(os::check_sealed_memfd(saved.file.get(), channel::kMaxStateFile) == 11);

  Lifecycle next;
  next.plugin.lifecycle().inherit(saved.file);
  std::string got;
  next.on_start = [&] {
    CHECK(next.ask() == APPSERVER_OK);
    got = next.got();
    std::int32_t elsewhere = APPSERVER_OK;
    std::thread([&] { elsewhere = next.ask(); }).join();
    CHECK(elsewhere == APPSERVER_INVALID);
    CHECK(next.ask() == APPSERVER_OK);
  };
  next.start();
  CHECK(next.state.version == 7);
  CHECK(got == "abc");
  INFO("afterwards there is none");
  CHECK(next.ask() == APPSERVER_NOT_FOUND);
}

TEST_CASE("a worker that was left nothing finds nothing") {
  Lifecycle worker;
  std::optional<std::int32_t> result;
  worker.on_start = [&] { result = worker.ask(); };
  worker.start();
  CHECK(result == APPSERVER_NOT_FOUND);
}

TEST_CASE("a file that is no state is none, and why is known") {
  Lifecycle worker;
  worker.plugin.lifecycle().inherit(os::make_shared_memfd("x", 100));
  CHECK(worker.plugin.lifecycle().why_not_inherited() ==
        "what it was left cannot be read: a memory file that was passed in is not sealed");
  std::optional<std::int32_t> result;
  worker.on_start = [&] { result = worker.ask(); };
  worker.start();
  CHECK(result == APPSERVER_NOT_FOUND);
}

TEST_CASE("a save_state that fails, gives nothing or too much leaves nothing") {
  Lifecycle worker;
  worker.start();
  SECTION("fails") {
    worker.result = APPSERVER_ERROR;
    const auto saved = worker.plugin.lifecycle().save();
    CHECK_FALSE(saved.file);
    CHECK(saved.failure == "on_save_state: the shelf is locked");
  }
  SECTION("nothing") {
    worker.result = APPSERVER_NOT_FOUND;
    const auto saved = worker.plugin.lifecycle().save();
    CHECK_FALSE(saved.file);
    CHECK(saved.failure.empty());
  }
  SECTION("too much") {
    worker.bytes.assign(APPSERVER_STATE_MAX + 1, 's');
    const auto saved = worker.plugin.lifecycle().save();
    CHECK_FALSE(saved.file);
    CHECK(saved.failure == "on_save_state gave 16777217 bytes, 16777216 at most can go along");
  }
}

TEST_CASE("a plugin is told that its worker drains") {
  Lifecycle worker;
  worker.start();
  worker.plugin.lifecycle().drain();
  CHECK(worker.hooks.back() == "on_worker_drain");
}

// Worker::offload: work on threads, its end on the loop.
#include <signal.h>

#include <appserver/plugin.hpp>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fake_host.hpp"
#include "fake_plugin.hpp"

using namespace appserver;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  fake::Host host;
  std::unique_ptr<Worker> worker = std::make_unique<Worker>(&host.table(), host.worker());

  // Runs the loop until `happened`.
  template <class Condition>
  void loop_until(Condition&& happened) {
    while (!happened()) REQUIRE(host.wait_posted());
  }
};

// Work that stays under way until it is let go.
class Gate {
 public:
  ~Gate() { open(); }
  void open() {
    if (!std::exchange(opened_, true)) promise_.set_value();
  }
  // Not before somebody waits here.
  void entered() { REQUIRE(entered_.get_future().wait_for(20s) == std::future_status::ready); }
  auto work() {
    return [this] {
      entered_.set_value();
      future_.wait();
    };
  }

 private:
  std::promise<void> promise_;
  std::promise<void> entered_;
  std::shared_future<void> future_ = promise_.get_future();
  bool opened_ = false;
};

constexpr auto ignore = [](auto&&) {};

std::string name_of_thread() {
  char name[16] = {};
  pthread_getname_np(pthread_self(), name, sizeof(name));
  return name;
}

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "offloaded work is done on another thread and its value comes to the loop") {
  const auto loop = std::this_thread::get_id();
  std::thread::id of_work;
  std::thread::id of_done;
  std::unique_ptr<int> got;
  const Offload handle = worker->offload(
      [&, owned = std::make_unique<int>(41)] {
        of_work = std::this_thread::get_id();
        return std::make_unique<int>(*owned + 1);
      },
      [&](Outcome<std::unique_ptr<int>> outcome) {
        of_done = std::this_thread::get_id();
        got = std::move(outcome).value();
      });
  CHECK(handle.active());
  CHECK(got == nullptr);
  loop_until([&] { return got != nullptr; });
  CHECK(*got == 42);
  CHECK(of_done == loop);
  CHECK(of_work != loop);
  CHECK_FALSE(handle.active());
}

TEST_CASE_METHOD(Fixture, "an exception of offloaded work comes to the loop") {
  std::string what;
  worker->offload([]() -> int { throw std::runtime_error("no such table"); },
                  [&](Outcome<int> outcome) {
                    try {
                      outcome.value();
                    } catch (const std::runtime_error& error) {
                      what = error.what();
                    }
                  });
  loop_until([&] { return !what.empty(); });
  CHECK(what == "no such table");
}

TEST_CASE_METHOD(Fixture, "an exception of the function for the end is logged") {
  bool next = false;
  worker->offload_limits({.threads = 1});
  worker->offload([] {}, [](Outcome<void>) { throw std::runtime_error("bad end"); });
  worker->offload([] {}, [&](Outcome<void>) { next = true; });
  loop_until([&] { return next; });
  CHECK(host.logged() == "error: offload: done: std::runtime_error: bad end\n");
}

TEST_CASE_METHOD(
    Fixture, "threads of offloaded work are named and have signals blocked, but those of faults") {
  std::string name;
  sigset_t blocked{};
  bool done = false;
  sigset_t before{};
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  worker->offload(
      [&] {
        name = name_of_thread();
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      },
      [&](Outcome<void>) { done = true; });
  loop_until([&] { return done; });
  CHECK(name == "offload-0");
  for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGABRT, SIGALRM, SIGUSR1, SIGCHLD})
    CHECK(sigismember(&blocked, signal) == 1);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    CHECK(sigismember(&blocked, fault) == 0);
  sigset_t after{};
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  CHECK(sigismember(&after, SIGTERM) == sigismember(&before, SIGTERM));
}

TEST_CASE_METHOD(Fixture,
                 "offloaded work runs on as many threads as are allowed, and the rest waits") {
  worker->offload_limits({.threads = 2, .queue = 100});
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  int done = 0;
  for (int i = 0; i < 50; ++i) {
    worker->offload(
        [&] {
          const int now = ++running;
          int seen = most;
          while (seen < now && !most.compare_exchange_weak(seen, now)) {
          }
          --running;
        },
        [&](Outcome<void>) { ++done; });
  }
  // Two pieces that each need the other: only two threads can end them.
  std::promise<void> first;
  std::promise<void> second;
  worker->offload(
      [&] {
        first.set_value();
        second.get_future().wait();
      },
      [&](Outcome<void>) { ++done; });
  worker->offload(
      [&] {
        first.get_future().wait();
        second.set_value();
      },
      [&](Outcome<void>) { ++done; });
  loop_until([&] { return done == 52; });
  CHECK(most <= 2);
}

TEST_CASE_METHOD(Fixture,
                 "more offloaded work than may wait is refused by name, until some has ended") {
  worker->offload_limits({.threads = 1, .queue = 2});
  Gate gate;
  int done = 0;
  worker->offload(gate.work(), [&](Outcome<void>) { ++done; });
  for (int i = 0; i < 2; ++i) worker->offload([] {}, [&](Outcome<void>) { ++done; });
  CHECK_THROWS_AS(worker->offload([] {}, ignore), OffloadFull);
  CHECK_THROWS_WITH(worker->offload([] {}, ignore), Catch::Contains("2 pieces of work wait"));
  gate.open();
  loop_until([&] { return done == 3; });
  worker->offload([] {}, [&](Outcome<void>) { ++done; });
  loop_until([&] { return done == 4; });
}

TEST_CASE_METHOD(Fixture, "work of one thread is delivered in its order") {
  worker->offload_limits({.threads = 1});
  std::vector<int> order;
  for (int i = 0; i < 100; ++i)
    worker->offload([i] { return i; },
                    [&](Outcome<int> outcome) { order.push_back(outcome.value()); });
  loop_until([&] { return order.size() == 100; });
  for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE_METHOD(Fixture, "cancelled work that waits is neither done nor delivered") {
  worker->offload_limits({.threads = 1, .queue = 1});
  Gate gate;
  bool ran = false;
  bool delivered = false;
  int done = 0;
  const auto held_by_work = std::make_shared<int>();
  const auto held_by_done = std::make_shared<int>();
  worker->offload(gate.work(), [&](Outcome<void>) { ++done; });
  gate.entered();
  Offload handle = worker->offload([&ran, held_by_work] { ran = true; },
                                   [&delivered, held_by_done](Outcome<void>) { delivered = true; });
  const Offload copy = handle;
  handle.cancel();
  CHECK_FALSE(handle.active());
  CHECK_FALSE(copy.active());
  CHECK(held_by_work.use_count() == 1);
  CHECK(held_by_done.use_count() == 1);
  worker->offload([] {}, [&](Outcome<void>) { ++done; });  // its place is free again
  gate.open();
  loop_until([&] { return done == 2; });
  CHECK_FALSE(ran);
  CHECK_FALSE(delivered);
}

TEST_CASE_METHOD(Fixture, "cancelled work that runs goes on and is not delivered") {
  worker->offload_limits({.threads = 1});
  Gate gate;
  bool delivered = false;
  bool next = false;
  const auto held = std::make_shared<int>();
  Offload handle =
      worker->offload(gate.work(), [&delivered, held](Outcome<void>) { delivered = true; });
  gate.entered();
  handle.cancel();
  CHECK(held.use_count() == 1);
  handle.cancel();
  worker->offload([] {}, [&](Outcome<void>) { next = true; });
  gate.open();
  loop_until([&] { return next; });
  CHECK_FALSE(delivered);
}

TEST_CASE_METHOD(Fixture, "work may be cancelled in the end of other work, and in its own") {
  worker->offload_limits({.threads = 1});
  Gate gate;
  Offload self;
  Offload other;
  bool delivered = false;
  bool last = false;
  self = worker->offload(gate.work(), [&, held = std::make_unique<int>(5)](Outcome<void>) {
    self.cancel();
    other.cancel();
    CHECK(*held == 5);
  });
  other = worker->offload([] {}, [&](Outcome<void>) { delivered = true; });
  // Not run by the loop before all three have ended.
  std::promise<void> all;
  worker->offload([&] { all.set_value(); }, [&](Outcome<void>) { last = true; });
  gate.open();
  REQUIRE(all.get_future().wait_for(20s) == std::future_status::ready);
  loop_until([&] { return last; });
  CHECK_FALSE(delivered);
}

TEST_CASE_METHOD(Fixture, "the end of work may offload more work") {
  int steps = 0;
  worker->offload([] {},
                  [&](Outcome<void>) {
                    worker->offload([] {}, [&](Outcome<void>) { ++steps; });
                    ++steps;
                  });
  loop_until([&] { return steps == 2; });
}

namespace {

std::atomic<int> refusals_left{0};
std::int32_t (*real_post)(appserver_worker*, void (*)(void*) APPSERVER_NOEXCEPT,
                          void*) APPSERVER_NOEXCEPT;

std::int32_t often_full(appserver_worker* worker, void (*call)(void*) APPSERVER_NOEXCEPT,
                        void* argument) noexcept {
  if (refusals_left.fetch_sub(1) > 0) return APPSERVER_LIMIT;
  return real_post(worker, call, argument);
}

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "no end of work is lost or comes twice while the host takes no posted calls") {
  real_post = host.table().post;
  host.table().post = &often_full;
  refusals_left = 5;
  worker->offload_limits({.threads = 2});
  std::vector<int> ends(200);
  int done = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    worker->offload([] {},
                    [&, i](Outcome<void>) {
                      ++ends[i];
                      if (++done % 50 == 0) refusals_left = 3;
                    });
  }
  loop_until([&] { return done == 200; });
  CHECK(std::all_of(ends.begin(), ends.end(), [](int count) { return count == 1; }));
}

TEST_CASE_METHOD(Fixture, "a worker ends although the host takes no posted calls") {
  real_post = host.table().post;
  host.table().post = &often_full;
  refusals_left = 1'000'000;
  Gate gate;
  worker->offload(gate.work(), ignore);
  gate.entered();
  gate.open();
  worker.reset();
}

TEST_CASE_METHOD(Fixture,
                 "a worker that ends drops the work that waits, then waits for that under way") {
  worker->offload_limits({.threads = 1});
  Gate gate;
  std::atomic<bool> ended{false};
  bool ran = false;
  bool delivered = false;
  worker->offload(
      [work = gate.work(), &ended]() mutable {
        work();
        ended = true;
      },
      [&](Outcome<void>) { delivered = true; });
  std::shared_ptr<void> opens_when_dropped(nullptr, [&](void*) { gate.open(); });
  Offload waits = worker->offload([&ran, held = std::move(opens_when_dropped)] { ran = true; },
                                  [&](Outcome<void>) { delivered = true; });
  gate.entered();
  worker->close();
  CHECK(ended);
  CHECK_FALSE(ran);
  CHECK_FALSE(waits.active());
  CHECK_THROWS_WITH(worker->offload([] {}, ignore), Catch::Contains("the worker ends"));
  host.run_posted();
  CHECK_FALSE(delivered);
  worker.reset();
  waits.cancel();
}

TEST_CASE_METHOD(
    Fixture, "the bounds of offloaded work are set before its first use, with a thread at least") {
  CHECK_THROWS_AS(worker->offload_limits({.threads = 0}), std::invalid_argument);
  worker->offload([] {}, ignore);
  CHECK_THROWS_AS(worker->offload_limits({.threads = 2}), std::logic_error);
}

namespace {

class Offloads final : public Plugin {
 public:
  static inline std::atomic<bool> let_go{false};
  static inline std::promise<void> begun = {};
  static inline std::string seen = {};

  ~Offloads() override { text_ = "gone"; }

  void on_worker_stop(Worker&) override {
    let_go = true;
    let_go.notify_all();
  }
  void on_request(Request&, Response& response) override {
    worker().offload(
        [this] {
          begun.set_value();
          let_go.wait(false);
          return seen = text_;
        },
        [later = response.defer()](Outcome<std::string> text) mutable {
          later.text(text.value()).send();
        });
  }

 private:
  std::string text_ = "of the plugin";
};

constexpr appserver_plugin kOffloads = detail::plugin_table<Offloads>("offloads", "1.0.0");

}  // namespace

TEST_CASE("work that uses the plugin ends after on_worker_stop and before the plugin does") {
  Offloads::let_go = false;
  Offloads::begun = {};
  Offloads::seen = {};
  fake::Host host;
  fake::Plugin plugin(host, kOffloads);
  REQUIRE(plugin.start() == APPSERVER_OK);
  const auto exchange = plugin.request({});
  REQUIRE(Offloads::begun.get_future().wait_for(20s) == std::future_status::ready);
  plugin.end();
  CHECK(Offloads::seen == "of the plugin");
  CHECK(host.answer(exchange).status == 500);
}

TEST_CASE("a deferred answer can be given in the end of work") {
  Offloads::let_go = true;
  Offloads::begun = {};
  fake::Host host;
  fake::Plugin plugin(host, kOffloads);
  REQUIRE(plugin.start() == APPSERVER_OK);
  const auto exchange = plugin.request({});
  while (host.answer(exchange).state == fake::State::kDeferred) REQUIRE(host.wait_posted());
  CHECK(host.answer(exchange).body == "of the plugin");
}

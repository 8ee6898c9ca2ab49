// Tasks beside each other, with a limit of time, and with work on threads.
#include <appserver/combine.hpp>
#include <appserver/plugin.hpp>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "fake_host.hpp"
#include "tracked.hpp"

using namespace appserver;
using namespace std::chrono_literals;
using fake::Tracked;

namespace {

struct Fixture : fake::TaskFixture {
  template <class Condition>
  void loop_until(Condition&& happened) {
    while (!happened()) REQUIRE(host.wait_posted());
  }
};

Task<int> after(std::chrono::milliseconds time, Tracked value) {
  const Tracked local(value);
  co_await sleep(time);
  co_return local.value();
}
Task<> fail_after(std::chrono::milliseconds time, std::string words) {
  co_await sleep(time);
  throw std::runtime_error(words);
}
Task<int> at_once(Tracked value) { co_return value.value(); }

Task<> when_all_of_two() { co_await when_all(after(1h, Tracked(1)), after(1h, Tracked(2))); }

// Work that stays under way until it is let go.
class Gate {
 public:
  ~Gate() { open(); }
  void open() {
    if (!std::exchange(opened_, true)) promise_.set_value();
  }
  void entered() { REQUIRE(entered_.get_future().wait_for(20s) == std::future_status::ready); }
  void pass() {
    entered_.set_value();
    future_.wait();
  }

 private:
  std::promise<void> promise_;
  std::promise<void> entered_;
  std::shared_future<void> future_ = promise_.get_future();
  bool opened_ = false;
};

}  // namespace

TEST_CASE_METHOD(Fixture, "when_all runs tasks at the same time and gives all their values") {
  std::tuple<int, std::monostate, int> got;
  std::vector<int> each;
  const auto outer = [&]() -> Task<> {
    const auto quiet = []() -> Task<> { co_await sleep(1ms); };
    got = co_await when_all(after(20ms, Tracked(1)), quiet(), at_once(Tracked(3)));
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 5; ++i)
      tasks.push_back(after(std::chrono::milliseconds(10 - i), Tracked(i)));
    each = co_await when_all(std::move(tasks));
    co_await when_all(quiet(), quiet());
  };
  worker->spawn(outer());
  host.advance(20);
  CHECK(got == std::tuple(1, std::monostate(), 3));
  host.advance(10);
  CHECK(each == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(host.timers() == 2);
  host.advance(1);
  CHECK(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "values may be of any type that can be moved") {
  struct Own {
    std::unique_ptr<int> number;
  };
  const auto make = [](int number) -> Task<Own> {
    Own own{std::make_unique<int>(number)};
    co_await sleep(1ms);
    co_return own;
  };
  int sum = 0;
  const auto outer = [&]() -> Task<> {
    auto [one, two] = co_await when_all(make(1), make(2));
    const Own three = co_await with_timeout(make(3), 1s);
    sum = *one.number + *two.number + *three.number;
  };
  worker->spawn(outer());
  host.advance(2);
  CHECK(sum == 6);
}

TEST_CASE_METHOD(Fixture, "when_all of nothing, or of what is ready, does not wait") {
  int sum = 0;
  const auto outer = [&]() -> Task<> {
    for (int i = 0; i < 20'000; ++i) {
      const auto [a, b] = co_await when_all(at_once(Tracked(1)), at_once(Tracked(2)));
      sum += a + b;
    }
    sum += static_cast<int>((co_await when_all(std::vector<Task<int>>())).size());
  };
  CHECK_FALSE(worker->spawn(outer()).active());
  CHECK(sum == 60'000);
}

TEST_CASE_METHOD(Fixture, "when one of several tasks throws, the others are cancelled first") {
  int alive = -1;
  const auto outer = [&]() -> Task<> {
    try {
      co_await when_all(after(1h, Tracked(1)), fail_after(5ms, "first"), fail_after(6ms, "second"),
                        after(1h, Tracked(2)));
    } catch (const std::runtime_error& error) {
      CHECK(std::string(error.what()) == "first");
      alive = static_cast<int>(host.timers());
    }
  };
  const Spawned task = worker->spawn(outer());
  host.advance(5);
  CHECK(alive >= 0);
  CHECK_FALSE(task.active());
  CHECK(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "a failure at once leaves later tasks of when_all unbegun") {
  bool began = false;
  const auto outer = [&]() -> Task<> {
    const auto fails = []() -> Task<> {
      throw std::runtime_error("no");
      co_return;
    };
    const auto late = [&](Tracked) -> Task<> {
      began = true;
      co_return;
    };
    co_await when_all(after(1h, Tracked(1)), fails(), late(Tracked(2)));
  };
  worker->spawn(outer());
  CHECK_FALSE(began);
  CHECK(host.logged() == "error: task: std::runtime_error: no\n");
}

TEST_CASE_METHOD(Fixture, "a task within its time gives its value") {
  int got = 0;
  const auto outer = [&]() -> Task<> {
    got = co_await with_timeout(after(10ms, Tracked(4)), 11ms);
    co_await with_timeout(fail_after(1ms, "mine"), 5ms);
  };
  worker->spawn(outer());
  host.advance(10);
  CHECK(got == 4);
  host.advance(1);
  CHECK(host.logged() == "error: task: std::runtime_error: mine\n");
  CHECK(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "a task over its time is cancelled and TimedOut thrown") {
  bool timed_out = false;
  const auto outer = [&]() -> Task<> {
    try {
      co_await with_timeout(after(1h, Tracked(4)), 10ms);
    } catch (const TimedOut&) {
      timed_out = true;
    }
    co_await sleep(1ms);
    co_await with_timeout(when_all_of_two(), 0ms);
  };
  worker->spawn(outer());
  host.advance(10);
  CHECK(timed_out);
  CHECK(host.timers() == 1);
  host.advance(1);
  CHECK(host.logged().find("TimedOut") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "tasks within tasks are cancelled with the one around them") {
  const auto outer = [&](Tracked) -> Task<> { co_await with_timeout(when_all_of_two(), 1h); };
  Spawned task = worker->spawn(outer(Tracked(1)));
  CHECK(host.timers() == 3);
  SECTION("by hand") {
    task.cancel();
    CHECK(Tracked::alive == 0);
    CHECK(host.timers() == 0);
  }
  SECTION("by the end of the worker") {
    worker->close();
    CHECK(Tracked::alive == 0);
  }
}

TEST_CASE_METHOD(Fixture, "one of several tasks may cancel the one around them all") {
  Spawned task;
  const auto breaks = [&]() -> Task<> {
    co_await sleep(1ms);
    task.cancel();
  };
  const auto outer = [&](Tracked) -> Task<> {
    co_await when_all(after(1h, Tracked(1)), breaks(), after(1h, Tracked(3)));
    FAIL("it went on");
  };
  task = worker->spawn(outer(Tracked(1)));
  host.advance(1);
  CHECK(Tracked::alive == 0);
  CHECK(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "offloaded work is awaited, with its value or its exception") {
  const auto loop = std::this_thread::get_id();
  std::string got;
  std::string words;
  std::thread::id of_work;
  const auto outer = [&]() -> Task<> {
    const std::string local = "rows of ";
    got = co_await worker->offload([&] {
      of_work = std::this_thread::get_id();
      return local + "users";
    });
    CHECK(std::this_thread::get_id() == loop);
    const auto named = [kept = Tracked(7)] { return kept.value(); };
    got += std::to_string(co_await worker->offload(named));
    try {
      co_await worker->offload([] { throw std::runtime_error("locked"); });
    } catch (const std::runtime_error& error) {
      words = error.what();
    }
  };
  const Spawned task = worker->spawn(outer());
  loop_until([&] { return !task.active(); });
  CHECK(of_work != loop);
  CHECK(got == "rows of users7");
  CHECK(words == "locked");
}

TEST_CASE_METHOD(Fixture, "more work than may wait is refused where it is awaited") {
  Gate gate;
  worker->offload_limits({.threads = 1, .queue = 0});
  const auto one = [&]() -> Task<> { co_await worker->offload([&] { gate.pass(); }); };
  const Spawned first = worker->spawn(one());
  gate.entered();
  worker->spawn(one());
  CHECK(host.logged().find("OffloadFull") != std::string::npos);
  gate.open();
  loop_until([&] { return !first.active(); });
}

TEST_CASE_METHOD(Fixture, "a cancelled task keeps its frame until its work on a thread has ended") {
  Gate gate;
  std::atomic<int> seen{0};
  const auto outer = [&](Tracked parameter) -> Task<> {
    const Tracked local(parameter.value() + 1);
    co_await worker->offload([&] {
      gate.pass();
      seen = parameter.value() + local.value();
    });
    FAIL("it went on");
  };
  Spawned task = worker->spawn(outer(Tracked(20)));
  gate.entered();
  SECTION("cancelled by hand") {
    task.cancel();
    CHECK_FALSE(task.active());
    CHECK(Tracked::alive == 2);
    gate.open();
    loop_until([&] { return Tracked::alive == 0; });
    CHECK(seen == 41);
  }
  SECTION("cancelled by the end of the worker") {
    std::thread opener([&] { gate.open(); });
    worker->close();
    opener.join();
    CHECK(Tracked::alive == 0);
    CHECK(seen == 41);
  }
  SECTION("cancelled between the work's end and its delivery") {
    gate.open();
    while (seen != 41) std::this_thread::yield();
    task.cancel();
    loop_until([&] { return Tracked::alive == 0; });
  }
}

TEST_CASE_METHOD(Fixture, "work that has not begun is dropped with its task at once") {
  Gate gate;
  worker->offload_limits({.threads = 1});
  const auto blocks = [&]() -> Task<> { co_await worker->offload([&] { gate.pass(); }); };
  const auto waits = [&](Tracked) -> Task<> {
    co_await worker->offload([] { FAIL("it was done"); });
  };
  const Spawned first = worker->spawn(blocks());
  gate.entered();
  Spawned second = worker->spawn(waits(Tracked(1)));
  second.cancel();
  CHECK(Tracked::alive == 0);
  gate.open();
  loop_until([&] { return !first.active(); });
}

TEST_CASE_METHOD(Fixture, "a limit of time waits for work on a thread that has begun") {
  Gate gate;
  bool timed_out = false;
  const auto works = [&](Tracked) -> Task<> {
    co_await worker->offload([&] { gate.pass(); });
    FAIL("it went on");
  };
  const auto outer = [&]() -> Task<> {
    try {
      co_await with_timeout(works(Tracked(1)), 10ms);
    } catch (const TimedOut&) {
      timed_out = true;
    }
  };
  Spawned task = worker->spawn(outer());
  gate.entered();
  host.advance(10);
  CHECK_FALSE(timed_out);
  SECTION("and then throws") {
    gate.open();
    loop_until([&] { return timed_out; });
  }
  SECTION("and may be cancelled meanwhile") {
    task.cancel();
    gate.open();
    loop_until([&] { return Tracked::alive == 0; });
    CHECK_FALSE(timed_out);
  }
}

TEST_CASE_METHOD(Fixture, "a task that cancels itself behind its work ends where it waits next") {
  Spawned task;
  bool behind = false;
  const auto outer = [&](Tracked) -> Task<> {
    co_await worker->offload([] {});
    task.cancel();
    behind = true;
    co_await worker->offload([] {});
    FAIL("it went on");
  };
  task = worker->spawn(outer(Tracked(1)));
  loop_until([&] { return Tracked::alive == 0; });
  CHECK(behind);
}

TEST_CASE_METHOD(Fixture,
                 "a task that has cancelled itself begins nothing, and goes on from nothing") {
  Spawned task;
  int began = 0;
  const auto one = [&]() -> Task<int> {
    ++began;
    co_return 1;
  };
  const auto outer = [&](Tracked, int way) -> Task<> {
    co_await sleep(1ms);
    task.cancel();
    if (way == 0) co_await when_all(one(), one());
    if (way == 1) co_await with_timeout(one(), 1h);
    const auto work = [&] { ++began; };
    if (way == 2) co_await worker->offload(work);
    FAIL("it went on");
  };
  const int way = GENERATE(0, 1, 2);
  task = worker->spawn(outer(Tracked(1), way));
  host.advance(1);
  CHECK(Tracked::alive == 0);
  CHECK(began == 0);
  CHECK(host.timers() == 0);
}

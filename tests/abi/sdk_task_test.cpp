// Tasks on the loop: what they give, what ends them early, and what of them is destroyed when.
#include <appserver/awaitable.hpp>
#include <appserver/plugin.hpp>
#include <appserver/task.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fake_host.hpp"
#include "tracked.hpp"

using namespace appserver;
using namespace std::chrono_literals;

namespace {

using Fixture = fake::TaskFixture;
using fake::Tracked;

Task<int> give(Tracked value) { co_return value.value(); }
Task<int> give_later(Tracked value) {
  co_await sleep(10ms);
  co_return value.value();
}
Task<> fail_later(std::string words) {
  co_await sleep(10ms);
  throw std::runtime_error(words);
}

// Something with a callback and a handle, as the SDK has several.
struct Source {
  struct Handle {
    Source* source;
    void cancel() { ++source->cancelled; }
  };
  std::function<void(Outcome<std::string>)> done;
  int cancelled = 0;

  Handle ask(std::function<void(Outcome<std::string>)> call) {
    done = std::move(call);
    return {this};
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a task begins when it is awaited and gives its value") {
  std::vector<std::string> steps;
  const auto inner = [&](Tracked value) -> Task<std::string> {
    steps.push_back("inner");
    co_return std::to_string(value.value());
  };
  const auto outer = [&]() -> Task<> {
    Task<std::string> task = inner(Tracked(7));
    steps.push_back("outer");
    steps.push_back(co_await std::move(task));
  };
  worker->spawn(outer());
  CHECK(steps == std::vector<std::string>{"outer", "inner", "7"});
}

TEST_CASE_METHOD(Fixture,
                 "a task that nobody awaits does not run, and holds nothing when it goes") {
  bool ran = false;
  const auto task = [&](Tracked) -> Task<> {
    ran = true;
    co_return;
  };
  { const Task<> dropped = task(Tracked(1)); }
  CHECK_FALSE(ran);
}

TEST_CASE_METHOD(Fixture, "an exception goes through tasks to the one that catches it") {
  std::string caught;
  const auto middle = []() -> Task<> { co_await fail_later("no such table"); };
  const auto outer = [&]() -> Task<> {
    const Tracked local(1);
    try {
      co_await middle();
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    caught += co_await give(local) == 1 ? " 1" : "";
  };
  const Spawned task = worker->spawn(outer());
  CHECK(task.active());
  host.advance(10);
  CHECK(caught == "no such table 1");
  CHECK_FALSE(task.active());
  CHECK(host.logged().empty());
}

TEST_CASE_METHOD(Fixture, "an exception that leaves a spawned task is logged with its words") {
  worker->spawn(fail_later("out of cheese"));
  host.advance(10);
  CHECK(host.logged() == "error: task: std::runtime_error: out of cheese\n");
  const auto at_once = []() -> Task<> {
    throw 42;
    co_return;
  };
  worker->spawn(at_once());
  CHECK(host.logged().find("error: task: int\n") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a task awaits a hundred thousand others without a deep stack") {
  int sum = 0;
  const auto many = [&]() -> Task<> {
    for (int i = 0; i < 100'000; ++i) sum += co_await give(Tracked(1));
  };
  worker->spawn(many());
  CHECK(sum == 100'000);
}

TEST_CASE_METHOD(Fixture, "tasks may be nested deeply") {
  struct Nest {
    static Task<int> down(int depth) {
      if (depth == 0) {
        co_await sleep(1ms);
        co_return 0;
      }
      co_return 1 + co_await down(depth - 1);
    }
  };
  int depth = 0;
  const auto begin = [&]() -> Task<> { depth = co_await Nest::down(10'000); };
  worker->spawn(begin());
  host.advance(1);
  CHECK(depth == 10'000);
}

TEST_CASE_METHOD(Fixture, "a task that was awaited or moved away is not awaited again") {
  std::vector<std::string> caught;
  const auto again = [&](Task<int> task) -> Task<> {
    try {
      co_await std::move(task);
    } catch (const std::logic_error& error) {
      caught.emplace_back(error.what());
    }
  };
  const auto outer = [&]() -> Task<> {
    Task<int> task = give(Tracked(3));
    co_await std::move(task);
    co_await again(std::move(task));
    Task<int> other = give(Tracked(3));
    const Task<int> moved = std::move(other);
    co_await again(std::move(other));
  };
  worker->spawn(outer());
  CHECK(caught.size() == 2);
}

TEST_CASE_METHOD(Fixture, "sleep waits its time, and next_turn for what is due") {
  std::vector<int> order;
  const auto sleeper = [&](int number, std::chrono::milliseconds time) -> Task<> {
    co_await worker->sleep(time);
    order.push_back(number);
  };
  const auto turner = [&]() -> Task<> {
    order.push_back(0);
    co_await worker->next_turn();
    order.push_back(3);
  };
  worker->spawn(sleeper(2, 20ms));
  worker->spawn(sleeper(1, 10ms));
  worker->spawn(turner());
  CHECK(order == std::vector<int>{0});
  host.advance(9);
  CHECK(order == std::vector<int>{0, 3});
  host.advance(1);
  CHECK(order == std::vector<int>{0, 3, 1});
  host.advance(10);
  CHECK(order == std::vector<int>{0, 3, 1, 2});
}

TEST_CASE_METHOD(Fixture, "a sleep over the bound of timers throws where it is awaited") {
  host.limit_timers(0);
  worker->spawn(fail_later("not reached"));
  CHECK(host.logged() ==
        "error: task: std::runtime_error: timer: the worker has reached its bound of running "
        "timers\n");
}

TEST_CASE_METHOD(Fixture, "a function with a callback is awaited") {
  Source source;
  std::string got;
  const auto asker = [&]() -> Task<> {
    got = co_await awaitable<std::string>([&](auto done) { return source.ask(done); });
    got += co_await awaitable<std::string>([&](auto done) { return source.ask(done); });
  };
  worker->spawn(asker());
  auto first = std::exchange(source.done, {});
  first(std::string("one "));
  CHECK(got == "one ");
  SECTION("and its value given") {
    source.done(std::string("two"));
    CHECK(got == "one two");
    // Nobody waits any more.
    source.done(std::string("three"));
    first(std::string("four"));
    CHECK(got == "one two");
  }
  SECTION("and its exception thrown") {
    source.done(std::make_exception_ptr(std::runtime_error("refused")));
    CHECK(host.logged() == "error: task: std::runtime_error: refused\n");
  }
  SECTION("and what it throws at once, too") {
    source.done(std::string("two"));
    const auto thrower = [&]() -> Task<> {
      co_await awaitable<void>([](auto) { throw std::runtime_error("full"); });
    };
    worker->spawn(thrower());
    CHECK(host.logged() == "error: task: std::runtime_error: full\n");
  }
  CHECK(source.cancelled == 0);
}

TEST_CASE_METHOD(Fixture, "a callback that comes at once is as good as one that comes later") {
  int sum = 0;
  const auto asker = [&]() -> Task<> {
    for (int i = 0; i < 50'000; ++i) sum += co_await awaitable<int>([](auto done) { done(1); });
    co_await awaitable<void>([](auto done) { done(); });
  };
  CHECK_FALSE(worker->spawn(asker()).active());
  CHECK(sum == 50'000);
}

TEST_CASE_METHOD(Fixture, "a callback that is dropped wakes its coroutine with an exception") {
  Source source;
  const auto asker = [&]() -> Task<> {
    co_await awaitable<std::string>([&](auto done) { return source.ask(done); });
  };
  worker->spawn(asker());
  source.done = nullptr;
  CHECK(host.logged().empty());
  host.advance(0);
  CHECK(host.logged() ==
        "error: task: std::runtime_error: what a task awaited was dropped before its end\n");
}

TEST_CASE_METHOD(Fixture, "a cancelled task is destroyed where it waits, all the way down") {
  bool went_on = false;
  bool caught = false;
  Source source;
  const auto asks = [&](Tracked) -> Task<std::string> {
    const Tracked local(2);
    co_return co_await awaitable<std::string>([&](auto done) { return source.ask(done); });
  };
  const auto outer = [&](Tracked parameter) -> Task<> {
    const Tracked local(parameter);
    try {
      co_await asks(Tracked(3));
    } catch (...) {
      caught = true;
    }
    went_on = true;
  };
  Spawned task = worker->spawn(outer(Tracked(1)));
  CHECK(Tracked::alive >= 4);
  task.cancel();
  CHECK(Tracked::alive == 0);
  CHECK(source.cancelled == 1);
  CHECK_FALSE(task.active());
  source.done(std::string("too late"));
  CHECK_FALSE(went_on);
  CHECK_FALSE(caught);
}

TEST_CASE_METHOD(Fixture, "a cancelled task ends its timer") {
  Spawned task = worker->spawn(fail_later("late"));
  CHECK(host.timers() == 1);
  task.cancel();
  CHECK(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "a task that cancels itself goes on to where it waits next") {
  std::optional<Spawned> handle;
  std::vector<int> steps;
  const auto itself = [&](Tracked) -> Task<> {
    co_await sleep(1ms);
    handle->cancel();
    steps.push_back(1);
    co_await sleep(1ms);
    steps.push_back(2);
  };
  handle = worker->spawn(itself(Tracked(1)));
  host.advance(1);
  CHECK(steps == std::vector<int>{1});
  CHECK(Tracked::alive == 0);
  host.advance(10);
  CHECK(steps.size() == 1);
}

TEST_CASE_METHOD(Fixture, "tasks end with the worker, and none begins any more") {
  const auto forever = [&](Tracked) -> Task<> {
    // Begins another while it is destroyed.
    struct Restless {
      Worker& worker;
      ~Restless() {
        try {
          worker.spawn(fail_later("never"));
        } catch (const std::runtime_error&) {
          ++refused;
        }
      }
      int& refused;
    };
    int refused = 0;
    const Restless restless{*worker, refused};
    for (;;) co_await sleep(1h);
  };
  for (int i = 0; i < 10; ++i) worker->spawn(forever(Tracked(i)));
  CHECK(Tracked::alive == 10);
  worker->close();
  CHECK(Tracked::alive == 0);
  CHECK_THROWS_AS(
      worker->spawn(give_later(Tracked(1)).coroutine() ? fail_later("x") : fail_later("")),
      std::runtime_error);
}

TEST_CASE_METHOD(Fixture, "a task that ends another one lives on, also at the end of the worker") {
  Spawned first;
  const auto victim = [&](Tracked) -> Task<> { co_await sleep(1h); };
  struct Canceller {
    Spawned& task;
    ~Canceller() { task.cancel(); }
  };
  const auto other = [&](Tracked) -> Task<> {
    const Canceller canceller{first};
    co_await sleep(5ms);
  };
  first = worker->spawn(victim(Tracked(1)));
  worker->spawn(other(Tracked(2)));
  SECTION("in its time") {
    host.advance(5);
    CHECK(Tracked::alive == 0);
  }
  SECTION("at the end") {
    worker->close();
    CHECK(Tracked::alive == 0);
  }
}

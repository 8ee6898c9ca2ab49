// Timers, posted functions, metrics and log of a Worker.
#include <algorithm>
#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
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
  int calls = 0;
};

class KeepsThings final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    timer_ = worker.every(1s, [this] { ++ticks_; });
    worker.after(1h, [this, owned = std::make_unique<int>(1)] { ticks_ += *owned; }).detach();
    worker.post([this, owned = std::make_unique<int>(1)] { ticks_ += *owned; });
  }
  void on_request(Request& request, Response& response) override {
    if (request.path() == "/later") {
      worker()
          .after(50ms, [later = response.text("late").defer()]() mutable { later.send(); })
          .detach();
    } else {
      kept_ = response.defer();
    }
  }

 private:
  int ticks_ = 0;
  Timer timer_;
  Deferred kept_;
};

constexpr appserver_plugin kKeepsThings =
    detail::plugin_table<KeepsThings>("keeps-things", "1.0.0");

}  // namespace

TEST_CASE_METHOD(Fixture, "a timer fires once, after its delay") {
  Timer timer = worker->after(50ms, [&] { ++calls; });
  host.advance(49);
  REQUIRE(calls == 0);
  REQUIRE(timer.active());
  host.advance(1);
  REQUIRE(calls == 1);
  REQUIRE_FALSE(timer.active());
  host.advance(1000);
  REQUIRE(calls == 1);
}

TEST_CASE_METHOD(Fixture, "a repeating timer fires until its handle goes") {
  {
    const Timer timer = worker->every(10ms, [&] { ++calls; });
    host.advance(35);
    REQUIRE(calls == 3);
  }
  REQUIRE(host.timers() == 0);
  host.advance(100);
  REQUIRE(calls == 3);
}

TEST_CASE_METHOD(Fixture, "a detached timer needs no handle") {
  worker->after(1ms, [&] { ++calls; }).detach();
  worker->every(1ms, [&] { ++calls; }).detach();
  host.advance(2);
  REQUIRE(calls == 3);
}

TEST_CASE_METHOD(Fixture, "a timer may cancel itself and others in its own call") {
  Timer other = worker->every(10ms, [&] { calls += 100; });
  Timer self;
  self = worker->every(5ms, [&, alive = std::make_shared<int>(7)] {
    other.cancel();
    self.cancel();
    calls += *alive;
  });
  host.advance(100);
  REQUIRE(calls == 7);
  REQUIRE(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "assigning over a timer cancels the one that was there") {
  Timer timer = worker->after(5ms, [&] { calls += 1; });
  timer = worker->after(5ms, [&] { calls += 10; });
  host.advance(10);
  REQUIRE(calls == 10);
}

TEST_CASE_METHOD(Fixture, "a function that a timer calls may start timers") {
  std::function<void()> again = [&] {
    if (++calls < 5) worker->after(1ms, again).detach();
  };
  worker->after(0ms, again).detach();
  host.advance(100);
  REQUIRE(calls == 5);
}

TEST_CASE_METHOD(Fixture, "an exception in a timer is logged and a repeating one goes on") {
  const Timer timer = worker->every(10ms, [&] {
    ++calls;
    throw std::runtime_error("oops");
  });
  host.advance(20);
  REQUIRE(calls == 2);
  REQUIRE(host.logged() ==
          "error: timer: std::runtime_error: oops\nerror: timer: std::runtime_error: oops\n");
}

TEST_CASE_METHOD(Fixture, "a timer that cannot be started throws") {
  host.limit_timers(1);
  const Timer first = worker->after(1s, [] {});
  REQUIRE_THROWS_AS(worker->after(1s, [] {}), std::runtime_error);
  REQUIRE_THROWS_AS(worker->every(0ms, [] {}), std::invalid_argument);
  REQUIRE(first.active());
}

TEST_CASE_METHOD(Fixture, "a timer handle outlives its worker harmlessly") {
  Timer timer = worker->after(1s, [&] { ++calls; });
  worker.reset();
  REQUIRE_FALSE(timer.active());
  REQUIRE(host.timers() == 0);
  timer.cancel();
}

TEST_CASE_METHOD(Fixture, "functions posted from threads run on the loop, each thread's in order") {
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  std::vector<std::vector<int>> seen(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i)
        worker->post([&seen, t, i] { seen[static_cast<std::size_t>(t)].push_back(i); });
    });
  }
  std::size_t total = 0;
  while (total < kThreads * kEach && host.wait_posted()) {
    total = 0;
    for (const auto& each : seen) total += each.size();
  }
  for (auto& thread : threads) thread.join();
  host.run_posted();
  for (const auto& each : seen) {
    REQUIRE(each.size() == kEach);
    REQUIRE(std::is_sorted(each.begin(), each.end()));
  }
}

TEST_CASE_METHOD(Fixture, "a post never runs within the call, and may post again") {
  worker->post([&] {
    worker->post([&] { calls += 10; });
    ++calls;
  });
  REQUIRE(calls == 0);
  host.run_posted();
  REQUIRE(calls == 11);
}

TEST_CASE_METHOD(Fixture, "an exception in a posted function is logged") {
  worker->post([] { throw std::runtime_error("oops"); });
  host.run_posted();
  REQUIRE(host.logged() == "error: posted function: std::runtime_error: oops\n");
}

TEST_CASE_METHOD(Fixture, "a post that the host refuses is dropped and said") {
  auto owned = std::make_shared<int>(1);
  host.refuse_posts();
  REQUIRE_FALSE(worker->post([owned] {}));
  REQUIRE(owned.use_count() == 1);
}

TEST_CASE_METHOD(Fixture, "counters grow, gauges move, names are checked") {
  const Counter counter = worker->counter("sold");
  counter.add();
  counter.add(2.5);
  counter.add(-1);
  REQUIRE(host.metric_value("sold") == 3.5);
  const Gauge gauge = worker->gauge("stock");
  gauge.set(10);
  gauge.add(-3);
  REQUIRE(host.metric_value("stock") == 7);
  worker->counter("sold").add();
  REQUIRE(host.metric_value("sold") == 4.5);
  REQUIRE_THROWS_AS(worker->gauge("sold"), std::invalid_argument);
  REQUIRE_THROWS_AS(worker->counter(""), std::invalid_argument);
  Counter().add();
  Gauge().set(1);
}

TEST_CASE_METHOD(Fixture, "a worker tells where it runs") {
  REQUIRE(worker->group() == "fake-group");
  REQUIRE(worker->build() == "0123abcd");
  REQUIRE(worker->slot() == 3);
  REQUIRE(worker->generation() == 7);
  worker->info("started");
  worker->warn("slow");
  worker->log(LogLevel::kDebug, "detail");
  REQUIRE(host.logged() == "info: started\nwarning: slow\ndebug: detail\n");
}

TEST_CASE("an answer is given by a timer") {
  fake::Host host;
  fake::Plugin plugin(host, kKeepsThings);
  REQUIRE(plugin.start() == APPSERVER_OK);
  const auto id = plugin.request({.target = "/later"});
  host.advance(49);
  REQUIRE(host.answer(id).state == fake::State::kDeferred);
  host.advance(1);
  REQUIRE(host.answer(id).body == "late");
}

TEST_CASE("a plugin that ends leaves no timer and no client without an answer") {
  fake::Host host;
  appserver_exchange in_timer = 0;
  appserver_exchange in_member = 0;
  {
    fake::Plugin plugin(host, kKeepsThings);
    REQUIRE(plugin.start() == APPSERVER_OK);
    in_timer = plugin.request({.target = "/later"});
    in_member = plugin.request({.target = "/kept"});
  }
  REQUIRE(host.timers() == 0);
  REQUIRE(host.answer(in_timer).status == 500);
  REQUIRE(host.answer(in_member).status == 500);
}

// What a plugin asks to be called for: timers and posted calls.
#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "hosting.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

void count(void* argument) noexcept { ++*static_cast<int*>(argument); }

}  // namespace

TEST_CASE(
    "timers fire once or repeatedly, can be cancelled from their own call, and stop with the "
    "worker") {
  Hosting hosting;
  hosting.start();
  const auto& host = *hosting.host;
  int once = 0;
  int cancelled = 0;
  CHECK(host.timer_start(hosting.worker, 1, 0, count, &once) != 0);
  const appserver_timer never = host.timer_start(hosting.worker, 0, 0, count, &cancelled);
  CHECK(host.timer_cancel(hosting.worker, never) == APPSERVER_OK);
  CHECK(host.timer_cancel(hosting.worker, never) == APPSERVER_NOT_FOUND);
  struct Repeating {
    Hosting& hosting;
    appserver_timer id = 0;
    int fired = 0;
  } repeating{hosting};
  repeating.id = host.timer_start(
      hosting.worker, 1, 1,
      [](void* argument) noexcept {
        auto& self = *static_cast<Repeating*>(argument);
        if (++self.fired == 5) self.hosting.host->timer_cancel(self.hosting.worker, self.id);
      },
      &repeating);
  int last = 0;
  REQUIRE(hosting.until([&] { return repeating.fired == 5 && once == 1; }));
  host.timer_start(hosting.worker, 20, 0, count, &last);
  REQUIRE(hosting.until([&] { return last == 1; }));
  CHECK(repeating.fired == 5);
  CHECK(once == 1);
  CHECK(cancelled == 0);
  CHECK(host.timer_cancel(hosting.worker, repeating.id) == APPSERVER_NOT_FOUND);

  int after_stop = 0;
  host.timer_start(hosting.worker, 0, 1, count, &after_stop);
  host.post(hosting.worker, count, &after_stop);
  hosting.plugin.stop();
  CHECK(host.timer_start(hosting.worker, 0, 0, count, &after_stop) == 0);
  CHECK(host.post(hosting.worker, count, &after_stop) == APPSERVER_GONE);
  settle(hosting.context);
  CHECK(after_stop == 0);
}

TEST_CASE("timers and posted calls have bounds") {
  Hosting hosting;
  hosting.start();
  int calls = 0;
  for (std::size_t i = 0; i < worker::PluginHost::kMaxTimers; ++i) {
    REQUIRE(hosting.host->timer_start(hosting.worker, 1'000'000, 0, count, &calls) != 0);
  }
  CHECK(hosting.host->timer_start(hosting.worker, 0, 0, count, &calls) == 0);
  for (std::size_t i = 0; i < worker::PluginHost::kMaxPosted; ++i) {
    REQUIRE(hosting.host->post(hosting.worker, count, &calls) == APPSERVER_OK);
  }
  CHECK(hosting.host->post(hosting.worker, count, &calls) == APPSERVER_LIMIT);
  CHECK(calls == 0);
  REQUIRE(hosting.until([&] { return calls == static_cast<int>(worker::PluginHost::kMaxPosted); }));
  CHECK(hosting.host->post(hosting.worker, count, &calls) == APPSERVER_OK);
}

TEST_CASE("calls posted from many threads all run on the loop, each thread's in order") {
  Hosting hosting;
  hosting.start();
  struct Sent {
    std::vector<int>* order;
    std::thread::id loop;
    std::atomic<int>* wrong;
    int number;
  };
  constexpr int kEach = 2'000;
  const auto loop = std::this_thread::get_id();
  std::atomic<int> wrong{0};
  std::array<std::vector<int>, 4> orders;
  std::array<std::vector<Sent>, 4> sent;
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    for (int i = 0; i < kEach; ++i) sent[thread].push_back({&orders[thread], loop, &wrong, i});
    threads.emplace_back([&, thread] {
      for (Sent& one : sent[thread]) {
        hosting.host->post(
            hosting.worker,
            [](void* argument) noexcept {
              const auto& self = *static_cast<Sent*>(argument);
              self.order->push_back(self.number);
              if (std::this_thread::get_id() != self.loop) ++*self.wrong;
            },
            &one);
      }
    });
  }
  CHECK(hosting.until([&] {
    return std::ranges::all_of(orders, [](const auto& order) { return order.size() == kEach; });
  }));
  for (auto& thread : threads) thread.join();
  for (const auto& order : orders) CHECK(std::ranges::is_sorted(order));
  CHECK(wrong == 0);
}

#include "net/timer_wheel.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <random>
#include <vector>

using appserver::net::TimerWheel;
using std::chrono::milliseconds;

namespace {

struct Timeout final : TimerWheel::Entry {
  explicit Timeout(std::function<void()> call) : on_call(std::move(call)) {}
  void on_timeout() override {
    // A copy: the call may destroy this.
    const auto call = on_call;
    call();
  }
  std::function<void()> on_call;
};

struct Counted {
  TimerWheel wheel;
  int fired = 0;
  Timeout entry{[this] { ++fired; }};

  int ticks_until_fired(int most) {
    const int before = fired;
    for (int tick = 1; tick <= most; ++tick) {
      wheel.tick();
      if (fired > before) return tick;
    }
    return 0;
  }
};

}  // namespace

TEST_CASE("a timeout fires once, between its delay and two ticks more") {
  const auto delay = milliseconds(GENERATE(0, 1, 99, 100, 101, 5'000, 75'000));
  Counted counted;
  for (int i = 0; i < 17; ++i) counted.wheel.tick();
  counted.wheel.set(counted.entry, delay);
  const auto after = TimerWheel::kTick * counted.ticks_until_fired(2'000);
  // The first tick may come right after set().
  CHECK(after - TimerWheel::kTick >= delay);
  CHECK(after <= delay + 2 * TimerWheel::kTick);
  CHECK(counted.ticks_until_fired(3'000) == 0);
}

TEST_CASE("a timeout that is set again before it fires is late by as much") {
  Counted counted;
  counted.wheel.set(counted.entry, milliseconds(1'000));
  for (int i = 0; i < 100; ++i) {
    counted.wheel.tick();
    counted.wheel.set(counted.entry, milliseconds(1'000));
  }
  REQUIRE(counted.fired == 0);
  CHECK(counted.ticks_until_fired(100) == 11);
}

TEST_CASE("a timeout can be moved earlier") {
  Counted counted;
  counted.wheel.set(counted.entry, milliseconds(60'000));
  counted.wheel.tick();
  counted.wheel.set(counted.entry, milliseconds(200));
  CHECK(counted.ticks_until_fired(1'000) == 3);
}

TEST_CASE("a cleared timeout does not fire, and may be set again, earlier or later") {
  Counted counted;
  counted.wheel.set(counted.entry, milliseconds(500));
  counted.wheel.clear(counted.entry);
  const auto again = milliseconds(GENERATE(100, 900));
  SECTION("at once") {}
  SECTION("after its place has gone by") { CHECK(counted.ticks_until_fired(20) == 0); }
  counted.wheel.set(counted.entry, again);
  CHECK(counted.ticks_until_fired(100) == again / TimerWheel::kTick + 1);
}

TEST_CASE("a timeout beyond one turn of the wheel fires in its time") {
  Counted counted;
  counted.wheel.set(counted.entry, milliseconds(350'000));
  CHECK(counted.ticks_until_fired(10'000) == 3'501);
}

TEST_CASE("a timeout may set itself again from its own call") {
  TimerWheel wheel;
  int fired = 0;
  Timeout entry([&] {
    if (++fired < 3) wheel.set(entry, milliseconds(0));
  });
  wheel.set(entry, milliseconds(0));
  wheel.tick();
  CHECK(fired == 1);
  wheel.tick();
  CHECK(fired == 2);
  for (int i = 0; i < 2'000; ++i) wheel.tick();
  CHECK(fired == 3);
}

TEST_CASE("an entry may end in its own call, or in that of another due at the same tick") {
  TimerWheel wheel;
  std::vector<std::unique_ptr<Timeout>> entries(5);
  int fired = 0;
  for (auto& entry : entries) {
    // Whichever is first ends all, itself included.
    entry = std::make_unique<Timeout>([&] {
      ++fired;
      for (auto& each : entries) each.reset();
    });
    wheel.set(*entry, milliseconds(300));
  }
  for (int i = 0; i < 10; ++i) wheel.tick();
  CHECK(fired == 1);
}

TEST_CASE("a call may set an entry that is due at the same tick to a later time") {
  TimerWheel wheel;
  int first = 0;
  int second = 0;
  std::unique_ptr<Timeout> later;
  Timeout earlier([&] {
    ++first;
    wheel.set(*later, milliseconds(1'000));
  });
  later = std::make_unique<Timeout>([&] { ++second; });
  wheel.set(earlier, milliseconds(100));
  wheel.set(*later, milliseconds(100));
  wheel.tick();
  wheel.tick();
  CHECK(first == 1);
  CHECK(second == 0);
  for (int i = 0; i < 11; ++i) wheel.tick();
  CHECK(second == 1);
}

TEST_CASE("an entry that ends while it is set leaves the others alone") {
  Counted counted;
  auto gone = std::make_unique<Timeout>([] { FAIL("it has ended"); });
  counted.wheel.set(*gone, milliseconds(100));
  counted.wheel.set(counted.entry, milliseconds(100));
  gone.reset();
  CHECK(counted.ticks_until_fired(10) == 2);
}

TEST_CASE("ten thousand timeouts, moved about at random, each fire in their own window") {
  struct Random {
    std::unique_ptr<Timeout> entry;
    long due = 0;
    long fired = 0;
  };
  TimerWheel wheel;
  std::mt19937 engine(20260701);
  std::uniform_int_distribution<long> delays(0, 3'000);
  long now = 0;
  std::vector<Random> all(10'000);
  for (auto& one : all) {
    one.entry = std::make_unique<Timeout>([&one, &now] { one.fired = now; });
    one.due = delays(engine);
    wheel.set(*one.entry, one.due * TimerWheel::kTick);
  }
  std::uniform_int_distribution<std::size_t> places(0, all.size() - 1);
  while (now < 2'000) {
    ++now;
    wheel.tick();
    for (int i = 0; i < 20; ++i) {
      Random& one = all[places(engine)];
      if (one.fired != 0) continue;
      const long delay = delays(engine);
      one.due = now + delay;
      wheel.set(*one.entry, delay * TimerWheel::kTick);
    }
  }
  while (now < 6'000) {
    ++now;
    wheel.tick();
  }
  long wrong = 0;
  for (const auto& one : all) wrong += one.fired == one.due + 1 ? 0 : 1;
  CHECK(wrong == 0);
}

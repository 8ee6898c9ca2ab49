// What tests of tasks share.
#pragma once

#include <appserver/plugin.hpp>
#include <appserver/worker.hpp>
#include <catch2/catch.hpp>
#include <memory>

#include "fake_host.hpp"

namespace fake {

// Counts what lives, and knows whether it was destroyed or moved by bytes behind its back.
class Tracked {
 public:
  inline static int alive = 0;
  inline static int broken = 0;

  explicit Tracked(int value = 0) : value_(value) { ++alive; }
  Tracked(const Tracked& other) : value_(other.value()) { ++alive; }
  Tracked(Tracked&& other) noexcept : value_(other.value()) { ++alive; }
  Tracked& operator=(const Tracked& other) {
    value_ = other.value();
    return *this;
  }
  ~Tracked() {
    value();
    self_ = nullptr;
    --alive;
  }
  int value() const {
    if (self_ != this) ++broken;
    return value_;
  }

 private:
  const Tracked* self_ = this;
  int value_;
};

// A worker without a plugin. At its end nothing of any task is left.
struct TaskFixture {
  Host host;
  std::unique_ptr<appserver::Worker> worker =
      std::make_unique<appserver::Worker>(&host.table(), host.worker());

  TaskFixture() { Tracked::alive = Tracked::broken = 0; }
  ~TaskFixture() {
    if (worker) worker->close();
    worker.reset();
    CHECK(Tracked::alive == 0);
    CHECK(Tracked::broken == 0);
    CHECK(host.timers() == 0);
  }
  TaskFixture(const TaskFixture&) = delete;
  TaskFixture& operator=(const TaskFixture&) = delete;
};

}  // namespace fake

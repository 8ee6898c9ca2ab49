// A point in time by which something must have happened; every wait of the tests takes one.
#pragma once

#include <algorithm>
#include <chrono>

namespace appserver::integration {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  // From now. Not explicit: `wait(10s)` reads as what it is.
  template <typename Number, typename Unit>
  Deadline(std::chrono::duration<Number, Unit> patience)
      : at_(Clock::now() + patience) {}  // NOLINT

  bool passed() const { return Clock::now() >= at_; }

  // What poll(2) takes: never negative, and rounded up, so that a wait is not a spin.
  int poll_timeout() const {
    const auto left = std::chrono::ceil<milliseconds>(at_ - Clock::now());
    return static_cast<int>(std::clamp<milliseconds::rep>(left.count(), 0, 1'000'000));
  }

 private:
  Clock::time_point at_;
};

}  // namespace appserver::integration

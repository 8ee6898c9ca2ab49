// When a cron timer is due, by a clock that may be set.
#pragma once

#include <algorithm>
#include <appserver/cron.hpp>
#include <appserver/timer.hpp>
#include <chrono>
#include <utility>

namespace appserver::detail {

// Clock is callable and gives a std::chrono::system_clock::time_point.
template <class Clock>
class CronSchedule final : public Schedule {
 public:
  CronSchedule(CronExpression expression, Clock clock)
      : expression_(expression), clock_(std::move(clock)), seen_(clock_()), target_(after(seen_)) {}

  // A time that went by unseen, the machine asleep or the loop held up, is made up for once.
  bool due() override {
    const auto now = clock_();
    const auto before = std::exchange(seen_, now);
    if (now >= target_) {
      target_ = after(now);
      return true;
    }
    // Set back by a little, the clock shows minutes again that have had their turn.
    constexpr std::chrono::hours kLittle{3};
    if (now < before - kLittle) target_ = after(now);
    return false;
  }

  // At most a minute, so that a clock that is set is noticed.
  std::chrono::milliseconds delay() override {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(target_ - clock_());
    return std::clamp<std::chrono::milliseconds>(left, std::chrono::milliseconds(1),
                                                 std::chrono::minutes(1));
  }

 private:
  using Time = std::chrono::system_clock::time_point;

  Time after(Time time) const {
    return expression_.next(std::chrono::floor<std::chrono::seconds>(time));
  }

  CronExpression expression_;
  Clock clock_;
  Time seen_;
  Time target_;
};

}  // namespace appserver::detail

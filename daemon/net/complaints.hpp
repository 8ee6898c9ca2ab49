// Lines for the log at the pace of a person: a flood brings as many reasons as it brings clients.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace appserver::net {

// One line a second; of those between only the last is told, with how many they were.
class Complaints final {
 public:
  using Say = std::function<void(const std::string& line)>;
  using Clock = std::chrono::steady_clock;

  static constexpr std::chrono::seconds kPace{1};

  explicit Complaints(Say say);

  void add(const std::string& what, Clock::time_point now = Clock::now());
  // To be called now and then: what was held back is told once its second is over.
  void tick(Clock::time_point now = Clock::now());
  // What was held back, now: nobody calls again.
  void tell_rest();

 private:
  Say say_;
  Clock::time_point said_{};
  std::uint64_t untold_ = 0;
  std::string last_;  // of them
};

}  // namespace appserver::net

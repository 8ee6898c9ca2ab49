#include "net/complaints.hpp"

#include <fmt/format.h>

#include <utility>

namespace appserver::net {

Complaints::Complaints(Say say) : say_(std::move(say)) {}

void Complaints::add(const std::string& what, Clock::time_point now) {
  tick(now);
  if (now - said_ < kPace) {
    ++untold_;
    last_ = what;
    return;
  }
  said_ = now;
  say_(what);
}

void Complaints::tick(Clock::time_point now) {
  if (untold_ == 0 || now - said_ < kPace) return;
  said_ = now;
  tell_rest();
}

void Complaints::tell_rest() {
  const std::uint64_t count = std::exchange(untold_, 0);
  const std::string last = std::exchange(last_, {});
  if (count == 0) return;
  say_(count == 1 ? last : fmt::format("{} ({} such lines in a second)", last, count));
}

}  // namespace appserver::net

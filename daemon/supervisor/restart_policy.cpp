#include "supervisor/restart_policy.hpp"

#include <algorithm>

namespace appserver::supervisor {

milliseconds RestartPolicy::failed(Time now, double chance) {
  if (is_stable(now)) {
    consecutive_ = 0;
    recent_.clear();
    crash_loop_ = false;
  }
  was_ready_ = false;
  recent_.push_back(now);
  while (recent_.size() > kCrashLoop || now - recent_.front() > kWindow) recent_.pop_front();
  // Once in a loop the waits alone would thin the window out: only a stable worker ends it.
  crash_loop_ = recent_.size() >= kCrashLoop || (crash_loop_ && consecutive_ > 0);
  ++consecutive_;
  if (consecutive_ == 1) return milliseconds(0);
  const unsigned doublings = std::min(consecutive_ - 2, 16U);
  const milliseconds full = std::min(kBase * (1U << doublings), kCap);
  const milliseconds half = full / 2;
  return half + milliseconds(static_cast<std::int64_t>(chance * static_cast<double>(half.count())));
}

void RestartPolicy::became_ready(Time now) {
  was_ready_ = true;
  ready_since_ = now;
}

}  // namespace appserver::supervisor

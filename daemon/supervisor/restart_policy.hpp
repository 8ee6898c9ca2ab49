// When a worker that died is started again. Pure: time and chance are handed in.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

namespace appserver::supervisor {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

// The first failure is answered at once, then with exponential backoff and jitter, at most kCap; a
// worker that was ready for kStable makes the next failure a first one again. kCrashLoop failures
// within kWindow are called a crash loop: visible, and still retried.
class RestartPolicy {
 public:
  static constexpr milliseconds kBase{500};
  static constexpr milliseconds kCap{30'000};
  static constexpr milliseconds kStable{60'000};
  static constexpr milliseconds kWindow{60'000};
  static constexpr std::size_t kCrashLoop = 5;

  // How long to wait before the next start. `chance` is uniform in [0, 1).
  milliseconds failed(Time now, double chance);
  void became_ready(Time now);
  bool in_crash_loop(Time now) const { return crash_loop_ && !is_stable(now); }

 private:
  bool is_stable(Time now) const { return was_ready_ && now - ready_since_ >= kStable; }

  unsigned consecutive_ = 0;
  Time ready_since_{};
  bool was_ready_ = false;
  bool crash_loop_ = false;
  std::deque<Time> recent_;
};

}  // namespace appserver::supervisor

// Work that would hold up the event loop, on threads of its own.
#pragma once

#include <appserver/detail/offload_pool.hpp>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <utility>

namespace appserver {

// What Worker::offload throws when as much waits as may wait. In a request: answer 503.
class OffloadFull : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A worker's bounds of offloaded work.
struct OffloadLimits {
  unsigned threads = 4;
  std::size_t queue = 1024;  // waits beyond what the threads have taken
};

// Work that was handed to Worker::offload. Copies name the same work; dropping the handle changes
// nothing. [loop] only, the destructor too. May outlive the plugin, then it is inert.
class Offload {
 public:
  Offload() = default;
  explicit Offload(std::weak_ptr<detail::OffloadJob> job) noexcept : job_(std::move(job)) {}

  // Whether done is still to be called.
  bool active() const noexcept {
    const auto job = job_.lock();
    return job && job->awaited();
  }

  // done is not called any more, and is destroyed. Work that no thread has begun is not done; what
  // has begun goes on to its end, and nobody sees its result.
  void cancel() noexcept {
    if (const auto job = std::exchange(job_, {}).lock()) job->cancel();
  }

 private:
  std::weak_ptr<detail::OffloadJob> job_;
};

}  // namespace appserver

// Closes descriptors that came from another process.
#pragma once

#include <cstddef>
#include <memory>

#include "os/fd.hpp"

namespace appserver::os {

// close(2) of what somebody else has made may wait for as long as that one likes: a socket with
// SO_LINGER (socket(7)), a file of a file system in user space (fuse(4)), and a unix socket in
// whose queue such descriptors are. So it happens on a thread of its own, which begins with the
// first of them. To be used from one thread.
class Closer final {
 public:
  // Beyond these a descriptor stays open: nothing may wait for it, and nothing else gets rid of it.
  static constexpr std::size_t kMostWaiting = 1'000;

  Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;
  // Does not wait for the thread, which ends when the last descriptor is closed.
  ~Closer();

  // False: it stays open.
  bool close(Fd fd);

 private:
  struct Queue;
  static void run(const std::shared_ptr<Queue>& queue);

  std::shared_ptr<Queue> queue_;
  bool running_ = false;
};

}  // namespace appserver::os

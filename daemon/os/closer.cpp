#include "os/closer.hpp"

#include <sys/socket.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace appserver::os {
namespace {

// Signals are for the loop's thread.
class AllSignalsBlocked final {
 public:
  AllSignalsBlocked() {
    sigset_t all{};
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

struct Closer::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Fd> waiting;
  bool ended = false;
};

Closer::Closer() : queue_(std::make_shared<Queue>()) {}

Closer::~Closer() {
  const std::lock_guard lock(queue_->mutex);
  queue_->ended = true;
  queue_->changed.notify_all();
}

bool Closer::close(Fd fd) {
  if (!fd) return true;
  try {
    if (!running_) {
      const AllSignalsBlocked blocked;
      std::thread(&Closer::run, queue_).detach();
      running_ = true;
    }
    const std::lock_guard lock(queue_->mutex);
    if (queue_->waiting.size() < kMostWaiting) {
      queue_->waiting.push_back(std::move(fd));
      queue_->changed.notify_all();
      return true;
    }
  } catch (const std::exception&) {
    // Without memory or a thread it stays open, too.
  }
  fd.release();
  return false;
}

void Closer::run(const std::shared_ptr<Queue>& queue) {
  std::unique_lock lock(queue->mutex);
  for (;;) {
    queue->changed.wait(lock, [&] { return queue->ended || !queue->waiting.empty(); });
    if (queue->waiting.empty()) return;
    Fd fd = std::move(queue->waiting.front());
    queue->waiting.pop_front();
    lock.unlock();
    // Where it is a socket, its data goes on in the background.
    const linger off{};
    static_cast<void>(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &off, sizeof(off)));
    fd.reset();
    lock.lock();
  }
}

}  // namespace appserver::os

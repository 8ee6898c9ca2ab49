// The threads of Worker::offload, and the way of a piece of work through them: queued, run by a
// thread, delivered on the loop. Work is made and destroyed on the loop; a thread only runs it.
#pragma once

#include <appserver/abi.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <appserver/detail/boundary.hpp>
#include <appserver/outcome.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace appserver::detail {

class OffloadPool;

// One piece of work. Loop thread only, but for work().
class OffloadJob {
 public:
  OffloadJob() = default;
  OffloadJob(const OffloadJob&) = delete;
  OffloadJob& operator=(const OffloadJob&) = delete;
  virtual ~OffloadJob() = default;

  // On a thread of the pool, once.
  virtual void work() noexcept = 0;

  bool awaited() const noexcept { return awaited_; }
  inline void cancel() noexcept;

 private:
  friend class OffloadPool;
  virtual void done() = 0;  // after work()
  virtual void drop_done() noexcept = 0;

  OffloadPool* pool_ = nullptr;
  std::list<std::shared_ptr<OffloadJob>>::iterator place_{};
  bool awaited_ = true;
};

template <class Work, class Done, class T>
class OffloadJobOf final : public OffloadJob {
 public:
  template <class W, class D>
  OffloadJobOf(std::in_place_t, W&& work, D&& done)
      : work_(std::forward<W>(work)), done_(std::in_place, std::forward<D>(done)) {}

  void work() noexcept override { outcome_.emplace(outcome_of<Work&, T>(work_)); }

 private:
  void done() override { (*done_)(std::move(*outcome_)); }
  void drop_done() noexcept override { done_.reset(); }

  Work work_;
  std::optional<Done> done_;
  std::optional<Outcome<T>> outcome_;
};

// Loop thread only, but for what its own threads run.
class OffloadPool {
 public:
  OffloadPool(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  OffloadPool(const OffloadPool&) = delete;
  OffloadPool& operator=(const OffloadPool&) = delete;
  ~OffloadPool() { close(); }

  bool used() const noexcept { return used_; }
  bool closed() const noexcept { return closed_; }
  // Pieces of work that have not been delivered.
  std::size_t size() const noexcept { return jobs_.size(); }

  // Not after close(). Throws std::system_error where not even one thread could be started.
  std::shared_ptr<OffloadJob> add(std::shared_ptr<OffloadJob> job, unsigned max_threads) {
    used_ = true;
    jobs_.push_back(job);
    job->pool_ = this;
    job->place_ = std::prev(jobs_.end());
    try {
      bool short_of_threads = false;
      {
        const std::lock_guard lock(mutex_);
        queue_.push_back(job.get());
        short_of_threads = idle_ < queue_.size();
      }
      if (short_of_threads && threads_.size() < max_threads) start_thread();
    } catch (...) {
      unqueue(*job);
      drop(*job);
      throw;
    }
    changed_.notify_one();
    return job;
  }

  void cancel(OffloadJob& job) noexcept {
    if (!std::exchange(job.awaited_, false)) return;
    job.drop_done();
    if (unqueue(job)) drop(job);
  }

  // Drops what no thread has begun and waits for what one has; nothing is delivered any more.
  void close() noexcept {
    closed_ = true;
    std::deque<OffloadJob*> waiting;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      waiting.swap(queue_);
    }
    changed_.notify_all();
    stop_.notify_all();
    for (OffloadJob* const job : waiting) drop(*job);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    finished_.clear();
    while (!jobs_.empty()) drop(*jobs_.front());
  }

 private:
  // A thread inherits its maker's mask. Signals of the process are for the loop's thread; those
  // that a thread's own fault raises must reach the host's handlers.
  class SignalsBlocked {
   public:
    SignalsBlocked() noexcept {
      sigset_t all;
      sigfillset(&all);
      for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
        sigdelset(&all, fault);
      pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

   private:
    sigset_t before_{};
  };

  void start_thread() {
    const SignalsBlocked blocked;
    try {
      threads_.emplace_back([this, number = threads_.size()] {
        pthread_setname_np(pthread_self(), ("offload-" + std::to_string(number)).c_str());
        run();
      });
    } catch (const std::system_error&) {
      // The ones there are do it, later.
      if (threads_.empty()) throw;
    }
  }

  // False if a thread has begun it.
  bool unqueue(OffloadJob& job) noexcept {
    const std::lock_guard lock(mutex_);
    const auto queued = std::find(queue_.begin(), queue_.end(), &job);
    if (queued == queue_.end()) return false;
    queue_.erase(queued);
    return true;
  }

  // What it holds may cancel other work when it is destroyed here.
  void drop(OffloadJob& job) noexcept {
    const std::shared_ptr<OffloadJob> keep = std::move(*job.place_);
    jobs_.erase(keep->place_);
    keep->awaited_ = false;
    keep->pool_ = nullptr;
  }

  void run() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      --idle_;
      if (stopping_) return;
      OffloadJob* const job = queue_.front();
      queue_.pop_front();
      lock.unlock();
      job->work();
      lock.lock();
      finished_.push_back(job);
      if (!delivery_posted_) post_delivery(lock);
    }
  }

  // One posted call takes all that is finished when it runs. A host that is at its bound of posted
  // calls is asked again until it takes this one; meanwhile the other threads work on, as far as
  // the bound of undelivered work lets them.
  void post_delivery(std::unique_lock<std::mutex>& lock) noexcept {
    constexpr std::chrono::milliseconds kLongestPause{50};
    delivery_posted_ = true;
    std::chrono::milliseconds pause{1};
    while (host_->post(worker_, &deliver, this) == APPSERVER_LIMIT) {
      // Not for new work, which does not wake it.
      if (stop_.wait_for(lock, pause, [&] { return stopping_; })) return;
      pause = std::min(2 * pause, kLongestPause);
    }
  }

  static void deliver(void* self) noexcept {
    auto& pool = *static_cast<OffloadPool*>(self);
    std::deque<OffloadJob*> finished;
    {
      const std::lock_guard lock(pool.mutex_);
      finished.swap(pool.finished_);
      pool.delivery_posted_ = false;
    }
    for (OffloadJob* const job : finished) pool.deliver(*job);
  }

  void deliver(OffloadJob& job) noexcept {
    const std::shared_ptr<OffloadJob> keep = *job.place_;
    const bool awaited = keep->awaited_;
    drop(*keep);
    if (!awaited) return;
    try {
      keep->done();
    } catch (...) {
      log_exception(host_, worker_, "offload: done");
    }
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  std::list<std::shared_ptr<OffloadJob>> jobs_;
  std::vector<std::thread> threads_;
  bool used_ = false;
  bool closed_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable stop_;
  std::deque<OffloadJob*> queue_;
  std::deque<OffloadJob*> finished_;  // in the order in which they ended
  std::size_t idle_ = 0;
  bool delivery_posted_ = false;
  bool stopping_ = false;
};

inline void OffloadJob::cancel() noexcept {
  if (pool_ != nullptr) pool_->cancel(*this);
}

}  // namespace appserver::detail

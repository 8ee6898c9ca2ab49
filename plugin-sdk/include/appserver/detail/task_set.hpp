// The coroutines of a worker that nobody awaits.
#pragma once

#include <appserver/abi.h>

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/scope.hpp>
#include <appserver/task.hpp>
#include <appserver/timer.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

namespace appserver::detail {

// Owns them until they have ended. Loop thread only.
class TaskSet {
 public:
  static constexpr std::size_t kMost = 100'000;

  TaskSet(const appserver_host* host, appserver_worker* worker, TimerSet& timers) noexcept
      : host_(host), worker_(worker), timers_(timers) {}
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;
  ~TaskSet() { close(); }

  TimerSet& timers() const noexcept { return timers_; }

  // Runs it until it waits. `key`, if not 0, names it for cancel(). Throws std::logic_error for a
  // task that is no more, std::runtime_error at the bound or after close().
  std::weak_ptr<Scope> start(Task<void> task, std::uint64_t key = 0) {
    const auto coroutine = unstarted(task);
    if (closed_) throw std::runtime_error("a task was begun while the worker ends");
    if (roots_.size() >= kMost)
      throw std::runtime_error("a task was begun over the worker's bound of " +
                               std::to_string(kMost));
    const auto root = std::make_shared<Root>(*this, std::move(task), key);
    roots_.emplace(root.get(), root);
    if (key != 0) by_key_.insert_or_assign(key, root.get());
    coroutine.promise().enter(*root, {});
    root->start(coroutine);
    return root;
  }

  // Calls function() in a turn of its own. Throws as Worker::after.
  template <class Function>
  void later(Function&& function) {
    timers_.start(0, 0, make_callable(std::forward<Function>(function)));
  }

  // The one being handled.
  void log_exception_of(const char* where) const noexcept { log_exception(host_, worker_, where); }

  void cancel(std::uint64_t key) noexcept {
    if (const auto found = by_key_.find(key); found != by_key_.end()) found->second->cancel();
  }
  bool has(std::uint64_t key) const noexcept { return by_key_.contains(key); }

  // None is begun or runs on after this. What refers to work on a thread goes when that has ended.
  void close() noexcept {
    closed_ = true;
    // Destructors of one may cancel others.
    for (auto at = roots_.begin(); at != roots_.end();) {
      if (at->first->cancelled()) {
        ++at;
      } else {
        at->first->cancel();
        at = roots_.begin();
      }
    }
  }

 private:
  class Root final : public Scope, private ScopeOwner {
   public:
    Root(TaskSet& set, Task<void> task, std::uint64_t key) noexcept
        : Scope(set, *this), task_(std::move(task)), key_(key) {}

   private:
    void scope_ended(Scope&) noexcept override {
      const auto coroutine = task_.coroutine();
      if (coroutine.done()) set().log_failure(coroutine.promise().take());
      set().forget(*this, key_);
      // Behind all else: what it holds may begin or cancel other tasks.
      const Task<void> gone = std::move(task_);
    }

    Task<void> task_;
    std::uint64_t key_;
  };

  void log_failure(const Outcome<void>& outcome) const noexcept {
    try {
      outcome.value();
    } catch (...) {
      log_exception_of("task");
    }
  }

  // The root itself is kept by who ends it.
  void forget(Root& root, std::uint64_t key) noexcept {
    if (const auto found = by_key_.find(key); found != by_key_.end() && found->second == &root)
      by_key_.erase(found);
    roots_.erase(&root);
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  TimerSet& timers_;
  std::unordered_map<Root*, std::shared_ptr<Root>> roots_;
  std::unordered_map<std::uint64_t, Root*> by_key_;
  bool closed_ = false;
};

}  // namespace appserver::detail

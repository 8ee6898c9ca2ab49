// Tasks beside each other, and tasks that may not take longer than some time.
#pragma once

#include <algorithm>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/task_set.hpp>
#include <appserver/task.hpp>
#include <appserver/timer.hpp>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace appserver {

// The time of with_timeout is over.
class TimedOut : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

template <class T>
using ValueOf = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

// Coroutines that run within another one while it waits for all of them; a failure cancels the
// rest.
class Together : public Awaitable, private ScopeOwner {
 public:
  Together() = default;
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;
  virtual ~Together() {
    for (const auto& scope : scopes_) scope->forget();
  }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    around_ = &coroutine.promise().scope();
    awaiting_ = coroutine;
    running_ = 1;  // so that nobody ends it meanwhile
    if (limit_) {
      timer_ = Timer(around_->set().timers().start(
          static_cast<std::uint64_t>(limit_->count()), 0, make_callable([this] {
            fail(std::make_exception_ptr(TimedOut("a task took longer than its time")));
          })));
    }
    ScopeOwner& owner = *this;
    for (const Task<void>& member : members_) {
      if (error_ || around_->stopped()) break;
      const auto scope =
          std::make_shared<Scope>(around_->set(), owner, around_->shared_from_this());
      scopes_.push_back(scope);
      ++running_;
      member.coroutine().promise().enter(*scope, {});
      scope->start(member.coroutine());
    }
    // One that was cancelled before ends here: there are no results to go on with.
    return --running_ > 0 || around_->stopped();
  }

 protected:
  template <class T>
  void add(Task<T> task, std::optional<ValueOf<T>>& result) {
    members_.push_back(run(*this, std::move(task), result));
  }
  void limit(std::chrono::milliseconds time) {
    limit_ = std::max(time, std::chrono::milliseconds(0));
  }

  void check() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  template <class T>
  static Task<void> run(Together& together, Task<T> task, std::optional<ValueOf<T>>& result) {
    try {
      if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        result.emplace();
      } else {
        result.emplace(co_await std::move(task));
      }
    } catch (...) {
      together.fail(std::current_exception());
    }
  }

  void fail(std::exception_ptr error) noexcept {
    if (error_) return;
    error_ = std::move(error);
    // None ends the waiting, and so this, before the last.
    ++running_;
    for (const auto& scope : scopes_) scope->cancel();
    ended();
  }

  void scope_ended(Scope&) noexcept override { ended(); }
  void ended() noexcept {
    if (--running_ == 0) around_->resume(awaiting_);
  }

  Scope* around_ = nullptr;
  std::coroutine_handle<> awaiting_;
  std::vector<Task<void>> members_;
  std::vector<std::shared_ptr<Scope>> scopes_;
  std::size_t running_ = 0;
  std::exception_ptr error_;
  std::optional<std::chrono::milliseconds> limit_;
  Timer timer_;
};

template <class... Ts>
class AllAwaiter final : public Together {
 public:
  explicit AllAwaiter(Task<Ts>... tasks) {
    std::apply([&](auto&... results) { (add(std::move(tasks), results), ...); }, results_);
  }

  auto await_resume() {
    check();
    if constexpr (!(std::is_void_v<Ts> && ...)) {
      return std::apply(
          [](auto&... results) { return std::tuple<ValueOf<Ts>...>(*std::move(results)...); },
          results_);
    }
  }

 private:
  std::tuple<std::optional<ValueOf<Ts>>...> results_;
};

template <class T>
class EachAwaiter final : public Together {
 public:
  explicit EachAwaiter(std::vector<Task<T>> tasks) : results_(tasks.size()) {
    for (std::size_t i = 0; i < tasks.size(); ++i) add(std::move(tasks[i]), results_[i]);
  }

  auto await_resume() {
    check();
    if constexpr (!std::is_void_v<T>) {
      std::vector<T> values;
      values.reserve(results_.size());
      for (auto& result : results_) values.push_back(*std::move(result));
      return values;
    }
  }

 private:
  std::vector<std::optional<ValueOf<T>>> results_;
};

template <class T>
class TimeoutAwaiter final : public Together {
 public:
  TimeoutAwaiter(Task<T> task, std::chrono::milliseconds time) {
    limit(time);
    add(std::move(task), result_);
  }

  T await_resume() {
    check();
    if constexpr (!std::is_void_v<T>) return *std::move(result_);
  }

 private:
  std::optional<ValueOf<T>> result_;
};

}  // namespace detail

// Runs all of them at the same time, each until it waits. Gives a tuple of their values, with a
// std::monostate for each void; nothing if all are void. When one throws, the others are cancelled,
// and the exception comes when all have ended.
//   const auto [user, orders] = co_await when_all(find_user(id), find_orders(id));
template <class... Ts>
[[nodiscard]] detail::AllAwaiter<Ts...> when_all(Task<Ts>... tasks) {
  return detail::AllAwaiter<Ts...>(std::move(tasks)...);
}

// The same for any number: gives a vector in their order, for void nothing.
template <class T>
[[nodiscard]] detail::EachAwaiter<T> when_all(std::vector<Task<T>> tasks) {
  return detail::EachAwaiter<T>(std::move(tasks));
}

// Gives what the task gives; throws TimedOut if it has not ended in that time: it is cancelled
// then. Work on a thread that has begun is waited for all the same.
template <class T>
[[nodiscard]] detail::TimeoutAwaiter<T> with_timeout(Task<T> task, std::chrono::milliseconds time) {
  return detail::TimeoutAwaiter<T>(std::move(task), time);
}

}  // namespace appserver

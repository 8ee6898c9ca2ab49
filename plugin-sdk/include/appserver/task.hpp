// Coroutines on the worker's event loop: straight-line code that waits without holding up anybody.
#pragma once

#include <appserver/detail/scope.hpp>
#include <appserver/outcome.hpp>
#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace appserver {

template <class T>
class Task;

namespace detail {

// The base of what a Task can await besides tasks; each gets its scope by the promise.
struct Awaitable {};

template <class T>
struct IsTask : std::false_type {};
template <class T>
struct IsTask<Task<T>> : std::true_type {};

// gcc 12 destroys twice what a lambda captured by value, and the members of an aggregate, where
// these are written within a co_await expression. Temporaries without a destructor are not
// concerned.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
template <class F>
inline constexpr bool kDestroyedTwice =
    !std::is_lvalue_reference_v<F> && !std::is_trivially_destructible_v<F> &&
    (std::is_aggregate_v<F> ||
     (!std::is_default_constructible_v<F> && !std::is_move_assignable_v<F>));
#else
template <class F>
inline constexpr bool kDestroyedTwice = false;
#endif

template <class T>
class TaskAwaiter;

// Another awaiter, which lives until the end of the co_await expression. Such a one is trivial to
// copy and to destroy: gcc 12 copies what await_transform gives by reference.
template <class Awaiter>
class AwaiterRef {
 public:
  explicit AwaiterRef(Awaiter& awaiter) noexcept : awaiter_(&awaiter) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> coroutine) const {
    return awaiter_->await_suspend(coroutine);
  }
  decltype(auto) await_resume() const { return awaiter_->await_resume(); }

 private:
  Awaiter* awaiter_;
};

class PromiseBase {
 public:
  PromiseBase() = default;
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  Scope& scope() const noexcept { return *scope_; }
  bool started() const noexcept { return scope_ != nullptr; }
  void enter(Scope& scope, std::coroutine_handle<> continuation) noexcept {
    scope_ = &scope;
    continuation_ = continuation;
  }

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<PromiseBase> Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) const noexcept {
      const PromiseBase& ended = coroutine.promise();
      ended.scope_->continue_with(ended.continuation_);
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }

  // Throws std::logic_error for a task that was awaited before or moved away.
  template <class T>
  TaskAwaiter<T> await_transform(Task<T>&& task);

  template <class Other>
  AwaiterRef<std::remove_reference_t<Other>> await_transform(Other&& other) noexcept {
    using Plain = std::remove_cvref_t<Other>;
    static_assert(!IsTask<Plain>::value, "a task is awaited once: co_await std::move(task)");
    static_assert(IsTask<Plain>::value || std::derived_from<Plain, Awaitable>,
                  "what a Task awaits is a Task, or made by the SDK: appserver::awaitable<T> turns "
                  "any function with a callback into one");
    return AwaiterRef<std::remove_reference_t<Other>>(other);
  }

 private:
  Scope* scope_ = nullptr;
  std::coroutine_handle<> continuation_;
};

template <class T>
class TaskPromise final : public PromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  void unhandled_exception() noexcept { outcome_.emplace(std::current_exception()); }
  template <std::convertible_to<T> Value>
  void return_value(Value&& value) {
    outcome_.emplace(T(std::forward<Value>(value)));
  }

  // Once, of a coroutine that has run to its end.
  Outcome<T> take() { return std::move(*outcome_); }

 private:
  std::optional<Outcome<T>> outcome_;
};

template <>
class TaskPromise<void> final : public PromiseBase {
 public:
  inline Task<void> get_return_object() noexcept;
  void unhandled_exception() noexcept { error_ = std::current_exception(); }
  void return_void() const noexcept {}

  Outcome<void> take() noexcept { return Outcome<void>(std::exchange(error_, nullptr)); }

 private:
  std::exception_ptr error_;
};

// The awaited coroutine belongs to its Task, which outlives this.
template <class T>
class TaskAwaiter {
 public:
  using Handle = std::coroutine_handle<TaskPromise<T>>;
  explicit TaskAwaiter(Handle awaited) noexcept : awaited_(awaited) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  void await_suspend(std::coroutine_handle<Promise> awaiting) const noexcept {
    Scope& scope = awaiting.promise().scope();
    awaited_.promise().enter(scope, awaiting);
    scope.continue_with(awaited_);
  }
  T await_resume() const { return awaited_.promise().take().value(); }

 private:
  Handle awaited_;
};

}  // namespace detail

// A coroutine that gives a T, or an exception, to who awaits it. It begins when it is awaited or
// given to Worker::spawn, runs on the loop, and waits only in co_await.
//   Task<Price> price_of(std::string name) {
//     const auto found = co_await worker().offload([&] { return db_.find(name); });
//     co_return found.price;
//   }
//
// Cancelled (its client has gone, its time is over, the worker ends), it does not go on from the
// co_await in which it waits: its frame is destroyed there. Destructors run, catch blocks and what
// follows do not; timers and calls that it waited for are ended. Work on a thread that has begun is
// waited for first, so that it may refer to local variables; its result is dropped.
//
// Parameters of a coroutine are copied into it; references among them, and what a lambda that is a
// coroutine captured, must outlive it. A handler's Request and Response do.
//
// With gcc 12 write no lambda that captures objects by value, and no aggregate such as
// Config{name, 3}, within a co_await expression: what they hold is destroyed twice. Give them a
// name in a line before. Captures by reference are right there. The SDK's own functions refuse to
// compile where that goes wrong; others cannot know.
template <class T = void>
class [[nodiscard]] Task {
 public:
  static_assert(!std::is_reference_v<T>, "a task gives a value, not a reference");
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle coroutine) noexcept : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      coroutine_ = std::exchange(other.coroutine_, {});
    }
    return *this;
  }
  ~Task() { destroy(); }

  // For the SDK.
  Handle coroutine() const noexcept { return coroutine_; }

 private:
  void destroy() noexcept {
    if (const Handle gone = std::exchange(coroutine_, {})) gone.destroy();
  }

  Handle coroutine_;
};

namespace detail {

// The frame of a task that begins now.
template <class T>
std::coroutine_handle<TaskPromise<T>> unstarted(const Task<T>& task) {
  if (!task.coroutine() || task.coroutine().promise().started())
    throw std::logic_error("a task is awaited that was awaited before or moved away");
  return task.coroutine();
}

template <class T>
TaskAwaiter<T> PromiseBase::await_transform(Task<T>&& task) {
  return TaskAwaiter<T>(unstarted(task));
}

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

}  // namespace detail
}  // namespace appserver

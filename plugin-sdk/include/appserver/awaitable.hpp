// What a Task can await besides other tasks: time, and any function that calls back.
#pragma once

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/task_set.hpp>
#include <appserver/outcome.hpp>
#include <appserver/task.hpp>
#include <appserver/timer.hpp>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace appserver {
namespace detail {

class [[nodiscard]] Sleep : public Awaitable {
 public:
  explicit Sleep(std::chrono::milliseconds time) noexcept : time_(time) {}
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;

  template <std::derived_from<PromiseBase> Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    Scope& scope = coroutine.promise().scope();
    const auto count = time_.count() > 0 ? static_cast<std::uint64_t>(time_.count()) : 0;
    timer_ = Timer(scope.set().timers().start(
        count, 0, make_callable([&scope, coroutine] { scope.resume(coroutine); })));
  }
  void await_resume() const noexcept {}

 private:
  std::chrono::milliseconds time_;
  Timer timer_;
};

// Where the callback of a call finds the coroutine; null when that no longer waits.
template <class T>
struct Call {
  Scope* scope;
  std::coroutine_handle<> coroutine;
  std::optional<Outcome<T>> outcome = std::nullopt;
  bool starting = true;  // the coroutine has not suspended yet

  bool waits() const noexcept { return scope != nullptr && !outcome; }

  static void end(const std::shared_ptr<Call>& call, Outcome<T> outcome) {
    if (!call->waits()) return;
    call->outcome.emplace(std::move(outcome));
    if (!call->starting) call->scope->resume(call->coroutine);
  }
};

// For the function that is awaited. Copies are the same one.
template <class T>
class Done {
 public:
  explicit Done(std::shared_ptr<Call<T>> call) : last_(std::make_shared<Last>(std::move(call))) {}

  void operator()(Outcome<T> outcome) const { Call<T>::end(last_->call, std::move(outcome)); }
  void operator()() const
    requires std::is_void_v<T>
  {
    (*this)(Outcome<void>());
  }

 private:
  // Nobody can call back any more. Not at once: this may happen in the midst of anything.
  struct Last {
    explicit Last(std::shared_ptr<Call<T>> its_call) noexcept : call(std::move(its_call)) {}
    Last(const Last&) = delete;
    Last& operator=(const Last&) = delete;
    ~Last() {
      if (!call->waits()) return;
      try {
        call->scope->set().later([kept = call] {
          Call<T>::end(kept, std::make_exception_ptr(std::runtime_error(
                                 "what a task awaited was dropped before its end")));
        });
      } catch (...) {
        call->scope->set().log_exception_of("task: nothing wakes it any more");
      }
    }
    std::shared_ptr<Call<T>> call;
  };

  std::shared_ptr<Last> last_;
};

template <class T, class Start>
class [[nodiscard]] CallAwaiter : public Awaitable {
 public:
  using Handle = std::invoke_result_t<Start&, Done<T>>;

  explicit CallAwaiter(Start&& start) : start_(std::forward<Start>(start)) {}
  CallAwaiter(const CallAwaiter&) = delete;
  CallAwaiter& operator=(const CallAwaiter&) = delete;
  ~CallAwaiter() {
    if (!call_) return;
    const bool waited = call_->waits();
    call_->scope = nullptr;
    if constexpr (requires { handle_->cancel(); }) {
      if (waited && handle_) handle_->cancel();
    }
  }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    call_ = std::make_shared<Call<T>>(Call<T>{&coroutine.promise().scope(), coroutine});
    if constexpr (std::is_void_v<Handle>) {
      start_(Done<T>(call_));
    } else {
      handle_.emplace(start_(Done<T>(call_)));
    }
    call_->starting = false;
    return !call_->outcome;
  }
  T await_resume() { return std::move(*call_->outcome).value(); }

 private:
  struct None {};
  Start start_;  // a reference for one that has a name
  std::shared_ptr<Call<T>> call_;
  std::optional<std::conditional_t<std::is_void_v<Handle>, None, Handle>> handle_;
};

}  // namespace detail

// Turns a function with a callback into something to await. `start(done)` begins the work; done is
// called once, on the loop, within start or later, with an Outcome<T>, a T or an exception_ptr (for
// void: with nothing or one of these). What start returns, if it has a cancel(), is cancelled when
// the coroutine goes while it waits. A done that is destroyed uncalled throws std::runtime_error to
// the coroutine; one that is called again, or when nobody waits any more, does nothing.
//   const Reply reply = co_await awaitable<Reply>(
//       [&](auto done) { return cache_.get(key, done); });
template <class T, class Start>
  requires std::is_invocable_v<Start&, detail::Done<T>>
detail::CallAwaiter<T, Start> awaitable(Start&& start) {
  static_assert(!detail::kDestroyedTwice<Start>,
                "this compiler destroys what the lambda captured by value twice (see task.hpp): "
                "capture by reference, or give the lambda a name in a line before the co_await");
  return detail::CallAwaiter<T, Start>(std::forward<Start>(start));
}

// Waits at least that long; other code of the worker runs meanwhile. Throws std::runtime_error at
// the worker's bound of timers. In a Task only.
inline detail::Sleep sleep(std::chrono::milliseconds time) noexcept { return detail::Sleep(time); }

// Lets all else that is due on the loop have its turn.
inline detail::Sleep next_turn() noexcept { return detail::Sleep(std::chrono::milliseconds(0)); }

}  // namespace appserver

// Offloaded work that a coroutine awaits.
#pragma once

#include <appserver/detail/scope.hpp>
#include <appserver/offload.hpp>
#include <appserver/outcome.hpp>
#include <appserver/task.hpp>
#include <concepts>
#include <coroutine>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace appserver::detail {

// Keeps a coroutine's frame while work may refer to it. Shared by the work and who has handed it
// over; goes on the loop.
class OffloadHold final : public Hold {
 public:
  explicit OffloadHold(Scope& scope)
      : scope_(scope.shared_from_this()), place_(scope.add_hold(*this)) {}
  OffloadHold(const OffloadHold&) = delete;
  OffloadHold& operator=(const OffloadHold&) = delete;
  ~OffloadHold() { scope_->release(place_); }

  void set(Offload job) noexcept { job_ = std::move(job); }

  // May end this.
  void cancel() noexcept override {
    Offload job = std::exchange(job_, {});
    job.cancel();
  }

 private:
  std::shared_ptr<Scope> scope_;
  Scope::HoldPlace place_;
  Offload job_;
};

template <class Worker, class Function>
class [[nodiscard]] OffloadAwaiter : public Awaitable {
 public:
  using T = std::invoke_result_t<std::decay_t<Function>&>;
  static_assert(!std::is_reference_v<T>, "work gives a value, not a reference");

  OffloadAwaiter(Worker& worker, Function&& function)
      : worker_(worker), function_(std::forward<Function>(function)) {}
  OffloadAwaiter(const OffloadAwaiter&) = delete;
  OffloadAwaiter& operator=(const OffloadAwaiter&) = delete;

  template <std::derived_from<PromiseBase> Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    Scope& scope = coroutine.promise().scope();
    // Cancelled: it ends here, and nothing is to be begun for it.
    if (scope.stopped()) return;
    const auto hold = std::make_shared<OffloadHold>(scope);
    hold->set(worker_.offload([this, hold]() -> T { return function_(); },
                              [this, &scope, coroutine](Outcome<T> outcome) {
                                outcome_.emplace(std::move(outcome));
                                scope.resume(coroutine);
                              }));
  }
  T await_resume() { return std::move(*outcome_).value(); }

 private:
  Worker& worker_;
  Function function_;  // a reference for one that has a name
  std::optional<Outcome<T>> outcome_;
};

}  // namespace appserver::detail

// Timers on the worker's event loop.
#pragma once

#include <appserver/abi.h>

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/handle.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

namespace appserver {
namespace detail {

class TimerSet;

// When a timer that goes by the calendar is due. May throw.
class Schedule {
 public:
  Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  virtual ~Schedule() = default;
  // Whether its time has come; the next one counts from then.
  virtual bool due() = 0;
  // Until it is to be asked again.
  virtual std::chrono::milliseconds delay() = 0;
};

// One timer. `set` is null once it has ended; `index` is its place in the set.
struct TimerState {
  TimerSet* set;
  std::size_t index;
  appserver_timer id;
  bool repeats;
  std::unique_ptr<Callable> task;
  std::unique_ptr<Schedule> schedule = nullptr;
};

// The running timers of a worker: owns their tasks, so that none is leaked when the worker ends.
// Loop thread only.
class TimerSet {
 public:
  TimerSet(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  TimerSet(const TimerSet&) = delete;
  TimerSet& operator=(const TimerSet&) = delete;
  ~TimerSet() { clear(); }

  std::shared_ptr<TimerState> start(std::uint64_t delay_ms, std::uint64_t every_ms,
                                    std::unique_ptr<Callable> task) {
    auto state =
        std::make_shared<TimerState>(TimerState{this, 0, 0, every_ms != 0, std::move(task)});
    running_.add(state);
    state->id = host_->timer_start(worker_, delay_ms, every_ms, &fire, state.get());
    if (state->id != 0) return state;
    running_.remove(*state);
    throw std::runtime_error("timer: the worker has reached its bound of running timers");
  }

  std::shared_ptr<TimerState> start(std::unique_ptr<Schedule> schedule,
                                    std::unique_ptr<Callable> task) {
    const auto delay = schedule->delay();
    auto state = start(static_cast<std::uint64_t>(delay.count()), 0, std::move(task));
    state->schedule = std::move(schedule);
    return state;
  }

  // May destroy the task, unless it is the one running.
  void cancel(TimerState& state) noexcept {
    host_->timer_cancel(worker_, state.id);
    running_.remove(state);
  }

  // Ends all. A task that is destroyed by this may start another timer: it is ended too.
  void clear() noexcept {
    while (!running_.empty()) cancel(*running_.last());
  }

 private:
  static void fire(void* argument) noexcept {
    auto* const state = static_cast<TimerState*>(argument);
    TimerSet& set = *state->set;
    // The task may cancel its own timer.
    const std::shared_ptr<TimerState> keep = set.running_.keep(*state);
    if (keep->schedule) {
      if (!set.goes_on(*keep)) return;
    } else if (!keep->repeats) {
      set.running_.remove(*keep);
    }
    try {
      keep->task->run();
    } catch (...) {
      log_exception(set.host_, set.worker_, "timer");
    }
  }

  // Starts the timer of a schedule again. Whether its time has come.
  bool goes_on(TimerState& state) noexcept {
    bool due = false;
    try {
      due = state.schedule->due();
      const auto delay = static_cast<std::uint64_t>(state.schedule->delay().count());
      state.id = host_->timer_start(worker_, delay, 0, &fire, &state);
      if (state.id == 0) throw std::runtime_error("the worker has reached its bound of timers");
    } catch (...) {
      log_exception(host_, worker_, "cron: the timer ends");
      running_.remove(state);
    }
    return due;
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  Running<TimerState> running_;
};

}  // namespace detail

// A running timer, from Worker::after, every or cron. It is cancelled when this handle goes,
// unless detached: keep it in the plugin, or `worker.after(...).detach()`. Loop thread only, the
// destructor too. May outlive the plugin, then it is inert.
class [[nodiscard]] Timer : detail::Handle<detail::TimerState> {
 public:
  using Handle::active;
  using Handle::Handle;
  // After this the function is not called again. May be called by the timer's own function.
  using Handle::cancel;
  // The timer runs on without a handle; a repeating one as long as the worker.
  using Handle::detach;
};

}  // namespace appserver

// The worker that a plugin runs in, and what it offers.
#pragma once

#include <appserver/abi.h>

#include <appserver/cron.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/cron_schedule.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/metrics.hpp>
#include <appserver/settings.hpp>
#include <appserver/timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace appserver {

enum class LogLevel : std::int32_t {
  kDebug = APPSERVER_LOG_DEBUG,
  kInfo = APPSERVER_LOG_INFO,
  kWarning = APPSERVER_LOG_WARNING,
  kError = APPSERVER_LOG_ERROR,
};

// Lives as long as the plugin: its address may be kept. [loop] members are for hooks, timers and
// posted functions only, [any-thread] ones for every thread that the plugin joins before it ends.
class Worker {
 public:
  Worker(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker), timers_(host, worker) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // [any-thread]
  Settings settings() const noexcept { return {host_, worker_}; }

  // [any-thread] The group's name in the configuration.
  std::string_view group() const noexcept { return detail::view(facts().group); }

  // [any-thread] This worker's place in its group, from 0. A successor has the same.
  unsigned slot() const noexcept { return facts().slot; }

  // [any-thread] Counts the workers started in this slot.
  std::uint64_t generation() const noexcept { return facts().generation; }

  // [any-thread] SHA-256 of the plugin file that runs, in hexadecimal.
  std::string_view build() const noexcept { return detail::view(facts().build); }

  // [any-thread] A line in the daemon's log. Never blocks; over the log's bound the line is dropped
  // and counted.
  void log(LogLevel level, std::string_view message) const noexcept {
    host_->log(worker_, static_cast<std::int32_t>(level), detail::str(message));
  }
  void debug(std::string_view message) const noexcept { log(LogLevel::kDebug, message); }
  void info(std::string_view message) const noexcept { log(LogLevel::kInfo, message); }
  void warn(std::string_view message) const noexcept { log(LogLevel::kWarning, message); }
  void error(std::string_view message) const noexcept { log(LogLevel::kError, message); }

  // [loop] Calls function() once, after `delay`. Timers do not keep a draining worker alive; unsent
  // answers do. An exception that leaves the function is logged. Throws std::runtime_error if the
  // host's bound of timers is reached.
  template <class Function>
  Timer after(std::chrono::milliseconds delay, Function&& function) {
    return Timer(
        timers_.start(count(delay), 0, detail::make_task(std::forward<Function>(function))));
  }

  // [loop] As after, again and again. `period` is at least 1 ms, else std::invalid_argument.
  template <class Function>
  Timer every(std::chrono::milliseconds period, Function&& function) {
    if (period.count() < 1) throw std::invalid_argument("Worker::every: the period is below 1 ms");
    return Timer(timers_.start(count(period), count(period),
                               detail::make_task(std::forward<Function>(function))));
  }

  // [loop] Calls function() at the times of a crontab expression, in every worker of the group and,
  // while one drains, in its successor, too: ask for slot() == 0 where once is meant. A time that
  // comes while the function runs or the loop is held up comes after it, once. Throws
  // std::invalid_argument with the field that is wrong; else as after.
  //   worker.cron("30 2 * * mon-fri", [this] { tidy_up(); }).detach();
  template <class Function>
  Timer cron(std::string_view expression, Function&& function, CronZone zone = CronZone::kLocal) {
    using Clock = decltype(&std::chrono::system_clock::now);
    return Timer(
        timers_.start(std::make_unique<detail::CronSchedule<Clock>>(
                          CronExpression(expression, zone), &std::chrono::system_clock::now),
                      detail::make_task(std::forward<Function>(function))));
  }

  // [any-thread] Calls function() on the loop, in the order posted, never before post returns.
  // False if the host takes no more: then, and when the worker ends first, the function is
  // destroyed without a call. An exception that leaves it is logged.
  template <class Function>
  bool post(Function&& function) {
    return enqueue(detail::make_task(std::forward<Function>(function)));
  }

  // [loop] Finds or makes a metric: [a-z_][a-z0-9_]*, at most 47 characters. Throws
  // std::invalid_argument if the name is not such, is in use with the other kind, or 64 metrics
  // exist.
  Counter counter(std::string_view name) {
    return {host_, worker_, metric(APPSERVER_METRIC_COUNTER, name)};
  }
  Gauge gauge(std::string_view name) {
    return {host_, worker_, metric(APPSERVER_METRIC_GAUGE, name)};
  }

  // Ends all timers and drops what is posted; the SDK calls it before it destroys the plugin.
  void close() noexcept {
    timers_.clear();
    std::deque<std::unique_ptr<detail::Task>> dropped;
    {
      const std::lock_guard lock(mutex_);
      dropped.swap(posted_);
    }
  }

 private:
  const appserver_worker_info& facts() const noexcept { return *host_->info(worker_); }

  static std::uint64_t count(std::chrono::milliseconds duration) noexcept {
    return duration.count() > 0 ? static_cast<std::uint64_t>(duration.count()) : 0;
  }

  // The lock is held over host_->post so that the two queues have one order; the host does not call
  // back meanwhile.
  bool enqueue(std::unique_ptr<detail::Task> task) {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    if (host_->post(worker_, &run_posted, this) == APPSERVER_OK) return true;
    task = std::move(posted_.back());
    posted_.pop_back();
    return false;
  }

  static void run_posted(void* self) noexcept {
    auto& worker = *static_cast<Worker*>(self);
    std::unique_ptr<detail::Task> task;
    {
      const std::lock_guard lock(worker.mutex_);
      if (worker.posted_.empty()) return;
      task = std::move(worker.posted_.front());
      worker.posted_.pop_front();
    }
    try {
      task->run();
    } catch (...) {
      detail::log_exception(worker.host_, worker.worker_, "posted function");
    }
  }

  appserver_metric metric(std::int32_t kind, std::string_view name) {
    const appserver_metric metric = host_->metric(worker_, kind, detail::str(name));
    if (metric != 0) return metric;
    throw std::invalid_argument(
        "metric \"" + std::string(name) +
        "\": the name is not [a-z_][a-z0-9_]{0,46}, is in use with another kind, or all "
        "64 metrics of this worker are taken");
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  detail::TimerSet timers_;
  std::mutex mutex_;
  std::deque<std::unique_ptr<detail::Task>> posted_;
};

}  // namespace appserver

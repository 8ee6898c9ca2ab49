// The worker that a plugin runs in, and what it offers.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/lifecycle.h>

#include <appserver/awaitable.hpp>
#include <appserver/bus.hpp>
#include <appserver/connect.hpp>
#include <appserver/cron.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/cron_schedule.hpp>
#include <appserver/detail/offload_awaiter.hpp>
#include <appserver/detail/task_set.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/fd.hpp>
#include <appserver/gateway.hpp>
#include <appserver/http_client.hpp>
#include <appserver/metrics.hpp>
#include <appserver/offload.hpp>
#include <appserver/settings.hpp>
#include <appserver/state.hpp>
#include <appserver/task.hpp>
#include <appserver/timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace appserver {

enum class LogLevel : std::int32_t {
  kDebug = APPSERVER_LOG_DEBUG,
  kInfo = APPSERVER_LOG_INFO,
  kWarning = APPSERVER_LOG_WARNING,
  kError = APPSERVER_LOG_ERROR,
};

// A task given to Worker::spawn. Copies name the same task; dropping the handle changes nothing.
// [loop] only. May outlive the plugin, then it is inert.
class Spawned {
 public:
  Spawned() = default;
  explicit Spawned(std::weak_ptr<detail::Scope> scope) noexcept : scope_(std::move(scope)) {}

  // Whether it goes on.
  bool active() const noexcept {
    const auto scope = scope_.lock();
    return scope && !scope->stopped();
  }

  // The task ends where it waits, see Task; one that runs now, where it waits next.
  void cancel() noexcept {
    if (const auto scope = std::exchange(scope_, {}).lock()) scope->cancel();
  }

 private:
  std::weak_ptr<detail::Scope> scope_;
};

// Lives as long as the plugin: its address may be kept. [loop] members are for hooks, timers and
// posted functions only, [any-thread] ones for every thread that the plugin joins before it ends.
class Worker {
 public:
  Worker(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host),
        worker_(worker),
        timers_(host, worker),
        calls_(host, worker),
        outbounds_(host, worker),
        fds_(host, worker),
        tasks_(host, worker, timers_),
        bus_(host, worker),
        gateway_(host, worker),
        offload_(host, worker) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // [any-thread] The group's `settings:`, as they were when the worker started; for its life.
  Settings settings() const noexcept { return {host_, worker_}; }

  // [any-thread] The group's name in the configuration. This view, and that of build, are valid as
  // long as the plugin.
  std::string_view group() const noexcept { return detail::view(facts().group); }

  // [any-thread] This worker's place in its group, from 0. A successor has the same.
  unsigned slot() const noexcept { return facts().slot; }

  // [any-thread] Counts the workers started in this slot.
  std::uint64_t generation() const noexcept { return facts().generation; }

  // [any-thread] SHA-256 of the plugin file that runs, in hexadecimal.
  std::string_view build() const noexcept { return detail::view(facts().build); }

  // [loop] What the slot's worker before left in its on_save_state, perhaps another build; in
  // on_worker_start only. Nothing: a first start, a crash before it, or one that could not save.
  std::optional<PredecessorState> predecessor_state() const noexcept {
    const auto* lifecycle =
        static_cast<const appserver_lifecycle_host*>(host_->extension(APPSERVER_LIFECYCLE));
    if (lifecycle == nullptr) return std::nullopt;
    appserver_state state{};
    state.size = sizeof(state);
    if (lifecycle->predecessor_state(worker_, &state) != APPSERVER_OK) return std::nullopt;
    return PredecessorState{state.version, detail::view(state.data)};
  }

  // [any-thread] A line in the daemon's log, its first 8 KiB. Never blocks; over the log's bound
  // the line is dropped and counted.
  void log(LogLevel level, std::string_view message) const noexcept {
    host_->log(worker_, static_cast<std::int32_t>(level), detail::str(message));
  }
  void debug(std::string_view message) const noexcept { log(LogLevel::kDebug, message); }
  void info(std::string_view message) const noexcept { log(LogLevel::kInfo, message); }
  void warn(std::string_view message) const noexcept { log(LogLevel::kWarning, message); }
  void error(std::string_view message) const noexcept { log(LogLevel::kError, message); }

  // [loop] Calls function() once, after `delay` (one below 0 is 0), never within this call. Timers
  // do not keep a draining worker alive; unsent answers do. An exception that leaves the function
  // is logged. Throws std::runtime_error over the host's bound of 100,000 timers.
  template <class Function>
  Timer after(std::chrono::milliseconds delay, Function&& function) {
    return Timer(
        timers_.start(count(delay), 0, detail::make_callable(std::forward<Function>(function))));
  }

  // [loop] As after, again and again. `period` is at least 1 ms, else std::invalid_argument.
  template <class Function>
  Timer every(std::chrono::milliseconds period, Function&& function) {
    if (period.count() < 1) throw std::invalid_argument("Worker::every: the period is below 1 ms");
    return Timer(timers_.start(count(period), count(period),
                               detail::make_callable(std::forward<Function>(function))));
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
                      detail::make_callable(std::forward<Function>(function))));
  }

  // [loop] Calls function(FdEvents) while one of `events` is so at `fd`, a descriptor of the
  // plugin's own: again and again, as poll(2) would tell it, so read or write until there is no
  // more, or change the events. For libraries that have an interface to foreign event loops. The
  // descriptor stays the plugin's: end the watch before it is closed. A watch does not keep a
  // draining worker alive. An exception that leaves the function is logged. Throws
  // std::invalid_argument for a descriptor that is not open, is watched already or cannot be waited
  // for, std::runtime_error where the host has no "fd/1" or refuses.
  template <class Function>
  FdWatch watch(int fd, FdEvents events, Function&& function) {
    return FdWatch(fds_.start(fd, events,
                              std::make_shared<detail::FdWatchOf<std::decay_t<Function>>>(
                                  std::in_place, std::forward<Function>(function))));
  }

  // [loop] Messages between all workers of the daemon, and keys and values that they share. Lives
  // as long as the plugin.
  Bus& bus() noexcept { return bus_; }

  // [loop] The clients of the gateway that this worker's group is behind.
  Gateway& gateway() noexcept { return gateway_; }

  // [any-thread] Calls function() on the loop, in the order posted, never before post returns.
  // False if the host takes no more, since 100,000 wait or the worker ends: then, and when it ends
  // before their turn, the function is destroyed without a call. An exception that leaves it is
  // logged.
  template <class Function>
  bool post(Function&& function) {
    return enqueue(detail::make_callable(std::forward<Function>(function)));
  }

  // [loop] Calls work() on a thread of the worker's pool and then, on the loop and never before
  // offload returns, done(Outcome<T>) with what work gave or threw; in the order in which the work
  // ended. For what would hold up the loop: files, databases, hashing. `work` may use [any-thread]
  // members only. Both are destroyed on the loop, when done has been called.
  //
  // The threads have every signal blocked. They are joined after on_worker_stop and before the
  // plugin is destroyed, so work may refer to members of the plugin that are released in its
  // destructor: work that has been begun is waited for, what still waits is dropped, and done is
  // not called any more. A deferred answer keeps a draining worker alive, work by itself does not.
  //
  // Throws OffloadFull over the bound of offload_limits, std::system_error where the system refuses
  // the first thread.
  //   worker().offload([this, id] { return prices_.find(id); },
  //                    [later = response.defer()](Outcome<Price> price) mutable { ... });
  template <class Work, class Done>
  Offload offload(Work&& work, Done&& done) {
    using T = std::invoke_result_t<std::decay_t<Work>&>;
    static_assert(!std::is_reference_v<T>, "work gives a value, not a reference");
    static_assert(std::is_invocable_v<std::decay_t<Done>&, Outcome<T>>,
                  "done takes an Outcome of what work gives");
    check_offload();
    return Offload(offload_.add(
        std::make_shared<detail::OffloadJobOf<std::decay_t<Work>, std::decay_t<Done>, T>>(
            std::in_place, std::forward<Work>(work), std::forward<Done>(done)),
        offload_limits_.threads));
  }

  // [loop] Before the first offload, else std::logic_error. std::invalid_argument for no thread.
  void offload_limits(const OffloadLimits& limits) {
    if (offload_.used())
      throw std::logic_error("Worker::offload_limits: work was offloaded before");
    if (limits.threads == 0) throw std::invalid_argument("Worker::offload_limits: no thread");
    offload_limits_ = limits;
  }

  // [loop, in a Task] The same to await: gives what work gives. `work` may refer to what the
  // coroutine has, its local variables, too: they live until it has ended. Throws as offload.
  //   const Price price = co_await worker().offload([&] { return prices_.find(id); });
  template <class Work>
  detail::OffloadAwaiter<Worker, Work> offload(Work&& work) {
    static_assert(!detail::kDestroyedTwice<Work>,
                  "this compiler destroys what the lambda captured by value twice (see task.hpp): "
                  "capture by reference, which is safe here, or give the lambda a name in a line "
                  "before the co_await");
    return detail::OffloadAwaiter<Worker, Work>(*this, std::forward<Work>(work));
  }

  // [loop] Runs a task that nobody awaits: until it first waits at once, then on. The worker owns
  // it; it ends with the worker, and does not keep a draining one alive. An exception that leaves
  // it is logged. Throws std::runtime_error over 100,000 tasks, or while the worker ends.
  Spawned spawn(Task<void> task) { return Spawned(tasks_.start(std::move(task))); }

  // [loop, in a Task] As the functions of these names in awaitable.hpp.
  //   co_await worker().sleep(50ms);
  detail::Sleep sleep(std::chrono::milliseconds time) const noexcept {
    return appserver::sleep(time);
  }
  detail::Sleep next_turn() const noexcept { return appserver::next_turn(); }

  // [loop] Finds or makes a metric: [a-z_][a-z0-9_]*, at most 47 characters. Throws
  // std::invalid_argument if the name is not such, is in use with the other kind, or 64 metrics
  // exist.
  Counter counter(std::string_view name) {
    return {host_, worker_, metric(APPSERVER_METRIC_COUNTER, name)};
  }
  Gauge gauge(std::string_view name) {
    return {host_, worker_, metric(APPSERVER_METRIC_GAUGE, name)};
  }

  // [loop] Calls to others over HTTP, see HttpClient. The object is a name: copy and keep it as
  // long as the plugin lives.
  HttpClient http() noexcept { return HttpClient(calls_); }

  // [loop] Opens a connection to somebody else, as a client: tcp, text, frame and ws, with TLS tls,
  // text+tls, frame+tls and wss; text://host:port, ws://host/path, text://unix:/path/of/socket. The
  // certificate and its host are always checked. What is open is a Connection as a client's is,
  // with the group's limits; its hooks are `handlers`. It counts as no client, does not move to a
  // successor and keeps no draining worker alive: it is closed politely, right before
  // on_worker_stop. Throws LimitError over 16,384 of them, std::runtime_error where the host has no
  // "connect/1" or the worker ends, std::invalid_argument without on_message; all else is told by
  // on_failed.
  Outbound connect(std::string_view url, const ConnectOptions& options, ConnectHandlers handlers) {
    return Outbound(outbounds_.start(url, options, std::move(handlers)));
  }
  Outbound connect(std::string_view url, ConnectHandlers handlers) {
    return connect(url, ConnectOptions{}, std::move(handlers));
  }

  // For the SDK.
  detail::TaskSet& tasks() noexcept { return tasks_; }

  // Ends all tasks, threads, timers, watches, calls and outbound connections and drops what is
  // posted; the SDK calls it before it destroys the plugin.
  void close() noexcept {
    // What is unfinished and ends here has handled no event.
    gateway_.set().keep_held();
    tasks_.close();
    offload_.close();
    timers_.clear();
    fds_.clear();
    bus_.close();
    gateway_.close();
    calls_.clear();
    outbounds_.clear();
    std::deque<std::unique_ptr<detail::Callable>> dropped;
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
  bool enqueue(std::unique_ptr<detail::Callable> task) {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    if (host_->post(worker_, &run_posted, this) == APPSERVER_OK) return true;
    task = std::move(posted_.back());
    posted_.pop_back();
    return false;
  }

  static void run_posted(void* self) noexcept {
    auto& worker = *static_cast<Worker*>(self);
    std::unique_ptr<detail::Callable> task;
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

  void check_offload() const {
    if (offload_.closed()) throw std::runtime_error("Worker::offload: the worker ends");
    if (offload_.size() < offload_limits_.threads ||
        offload_.size() - offload_limits_.threads < offload_limits_.queue)
      return;
    throw OffloadFull("Worker::offload: " + std::to_string(offload_limits_.queue) +
                      " pieces of work wait already (see Worker::offload_limits)");
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
  detail::CallSet calls_;
  detail::Outbounds outbounds_;
  detail::FdWatches fds_;
  detail::TaskSet tasks_;
  Bus bus_;
  Gateway gateway_;
  OffloadLimits offload_limits_;
  detail::OffloadPool offload_;
  std::mutex mutex_;
  std::deque<std::unique_ptr<detail::Callable>> posted_;
};

}  // namespace appserver

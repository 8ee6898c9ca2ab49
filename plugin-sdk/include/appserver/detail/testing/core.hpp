// A host in memory, its core: the table of abi.h over a queue, a clock that the test moves, and
// lists that it reads.
#pragma once

#include <appserver/abi.h>

#include <algorithm>
#include <appserver/detail/testing/settings.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/state.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace appserver::testing {

using std::chrono::milliseconds;

class SharedBus;
class SharedGateway;

// The worker that a plugin is to find, and its limits.
struct Options {
  SettingMap settings = {};  // or settings_from_json(R"({...})")
  unsigned slot = 0;
  std::uint64_t generation = 1;
  std::string group = "test";
  std::string build = std::string(64, '0');
  std::size_t max_message = std::size_t{1} << 20;
  std::size_t send_buffer = std::size_t{1} << 20;
  std::optional<SavedState> predecessor = {};   // what one has left (Harness::save_state)
  std::shared_ptr<SharedBus> bus = {};          // with other workers; without one it has its own
  std::shared_ptr<SharedGateway> gateway = {};  // alike: the gateway that it is behind
};

class Core;

// The host's side of an extension of the ABI, such as "http/1"; extensions.hpp lists them.
class Extension {
 public:
  explicit Extension(Core& core);
  Extension(const Extension&) = delete;
  Extension& operator=(const Extension&) = delete;
  virtual ~Extension() = default;

  // The plugin was made: its hooks from now on are self's.
  virtual void attach(const appserver_plugin& plugin, void* self) {
    static_cast<void>(plugin);
    static_cast<void>(self);
  }
  // on_worker_start has returned.
  virtual void started() {}
  // What is due on the loop. Whether anything was.
  virtual bool turn() { return false; }
  // The worker drains: before on_worker_stop.
  virtual void drain() {}
  // What a successor gets goes there. The same extension of the other host.
  virtual void hand_over(Extension& successor) { static_cast<void>(successor); }
  // The plugin is gone.
  virtual void detach() {}

 protected:
  Core& core() const noexcept { return core_; }
  // The plugin's table for the extension, whole; zeroes where it lacks a field or all.
  template <class Table>
  static Table read_table(const appserver_plugin& plugin, const char* name);

 private:
  Core& core_;
};

// The loop's thread is the one that made it.
class Core {
 public:
  // For extensions.
  template <class Function>
  auto locked(Function&& function) const {
    const std::lock_guard lock(mutex_);
    return function();
  }

  explicit Core(Options options) : options_(std::move(options)) {
    info_ = {sizeof(appserver_worker_info), options_.slot, options_.generation,
             detail::str(options_.group), detail::str(options_.build)};
    table_ = {sizeof(appserver_host),
              APPSERVER_ABI_MAJOR,
              APPSERVER_ABI_MINOR,
              nullptr,
              &info,
              &log,
              &report_error,
              &setting,
              &post,
              &timer_start,
              &timer_cancel,
              &metric,
              &metric_add,
              &metric_set};
    add_whole_settings();
  }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // May be changed before a plugin is made, to play an older host.
  appserver_host& table() { return table_; }
  appserver_worker* worker() { return static_cast<appserver_worker*>(static_cast<void*>(this)); }
  static Core& of(appserver_worker* worker) noexcept {
    return *static_cast<Core*>(static_cast<void*>(worker));
  }
  const Options& options() const { return options_; }

  // Lines of the plugin's and the host's own, "error: ..." each.
  std::string logged() const {
    return locked([&] { return logged_; });
  }
  // What was given to report_error last.
  std::string errors() const {
    return locked([&] { return errors_; });
  }
  void forget_error() {
    locked([&] { errors_.clear(); });
  }
  void write_log(std::int32_t level, std::string_view text) {
    static constexpr const char* kLevels[] = {"debug: ", "info: ", "warning: ", "error: "};
    const auto known = std::clamp(level, APPSERVER_LOG_DEBUG, APPSERVER_LOG_ERROR);
    locked([&] { logged_ += kLevels[known] + std::string(text) + "\n"; });
  }
  // A hook gave ERROR: its reason goes to the log, as in a worker.
  void log_failure(std::string_view hook) {
    const std::string why = errors();
    if (why.starts_with(hook)) {
      write_log(APPSERVER_LOG_ERROR, why);
    } else {
      write_log(APPSERVER_LOG_ERROR,
                std::string(hook) + ": " + (why.empty() ? "failed without a reason" : why));
    }
  }
  // -1: there is none of this name.
  double metric_value(const std::string& name) const {
    return locked([&] {
      for (const Metric& each : metrics_) {
        if (each.name == name) return each.value;
      }
      return -1.0;
    });
  }

  // Those that run.
  std::size_t timers() const { return timers_.size(); }
  void limit_timers(std::size_t most) { most_timers_ = most; }
  void refuse_posts() {
    locked([&] { refuse_posts_ = true; });
  }

  // Runs what is posted, what that posts included. How many ran. Throws std::runtime_error where
  // there is no end to it.
  std::size_t run_posted() {
    for (std::size_t ran = 0; ran < kMostTurns; ++ran) {
      Call call{};
      {
        const std::lock_guard lock(mutex_);
        if (posted_.empty()) return ran;
        call = posted_.front();
        posted_.pop_front();
      }
      call.run(call.argument);
    }
    never_rests();
  }
  // Waits until something is posted, then runs all of it. False after the deadline.
  bool wait_posted(milliseconds deadline = std::chrono::seconds(20)) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, deadline, [&] { return !posted_.empty(); })) return false;
    }
    run_posted();
    return true;
  }

  // Runs the loop until nothing is due but timers of the future.
  void run() {
    for (std::size_t turns = 0; turns < kMostTurns; ++turns) {
      bool any = run_posted() > 0;
      for (Extension* const each : extensions_) any = each->turn() || any;
      if (!any) return;
    }
    never_rests();
  }

  // Moves the clock and fires what is due, in order of time; `behind` is called after each.
  void advance(milliseconds time, const std::function<void()>& behind = {}) {
    const std::uint64_t until =
        now_ + static_cast<std::uint64_t>(std::max<milliseconds::rep>(time.count(), 0));
    for (;;) {
      const auto due = std::min_element(timers_.begin(), timers_.end(), [](auto& a, auto& b) {
        return a.second.when < b.second.when;
      });
      if (due == timers_.end() || due->second.when > until) break;
      now_ = due->second.when;
      const Call call = due->second.call;
      if (due->second.every == 0) {
        timers_.erase(due);
      } else {
        due->second.when += due->second.every;
      }
      call.run(call.argument);
      if (behind) behind();
    }
    now_ = until;
  }

  // No timer and no posted call any more.
  void end() {
    timers_.clear();
    locked([&] {
      ended_ = true;
      posted_.clear();
    });
  }

  // For extensions.
  std::uint64_t now() const { return now_; }  // milliseconds
  bool on_loop() const { return std::this_thread::get_id() == loop_; }
  std::mutex& mutex() const { return mutex_; }
  std::condition_variable& changed() const { return changed_; }
  void add(Extension& extension) { extensions_.push_back(&extension); }
  template <class T>
  T& extension() const {
    for (Extension* const each : extensions_) {
      if (T* const found = dynamic_cast<T*>(each)) return *found;
    }
    throw std::logic_error("this host lacks an extension that it gave the table of");
  }
  const std::vector<Extension*>& extensions() const { return extensions_; }

  static constexpr std::size_t kMostTurns = 100'000;
  [[noreturn]] static void never_rests() {
    throw std::runtime_error(
        "the loop does not come to rest: what runs on it always asks for more");
  }

 private:
  struct Call {
    void (*run)(void*) APPSERVER_NOEXCEPT;
    void* argument;
  };
  struct Timer {
    std::uint64_t when;
    std::uint64_t every;
    Call call;
  };
  struct Metric {
    std::string name;
    std::int32_t kind;
    double value;
  };

  // The empty path is the whole, for a map given path by path, too.
  void add_whole_settings() {
    if (options_.settings.empty() || options_.settings.contains("")) return;
    JsonText json;
    json.object();
    for (const auto& [path, text] : options_.settings) {
      if (path.find('.') == std::string::npos) json.key(path).value(text);
    }
    options_.settings.emplace("", json.end().take());
  }

  static const appserver_worker_info* info(appserver_worker* worker) noexcept {
    return &of(worker).info_;
  }
  static void log(appserver_worker* worker, std::int32_t level, appserver_str message) noexcept {
    of(worker).write_log(level, detail::view(message));
  }
  static void report_error(appserver_worker* worker, appserver_str message) noexcept {
    of(worker).locked([&] { of(worker).errors_ = detail::view(message); });
  }
  static std::int32_t setting(appserver_worker* worker, appserver_str path,
                              appserver_str* value) noexcept {
    const SettingMap& settings = of(worker).options_.settings;
    const auto found = settings.find(std::string(detail::view(path)));
    if (found == settings.end()) return APPSERVER_NOT_FOUND;
    *value = detail::str(found->second);
    return APPSERVER_OK;
  }

  static std::int32_t post(appserver_worker* worker, void (*call)(void*) APPSERVER_NOEXCEPT,
                           void* argument) noexcept {
    Core& core = of(worker);
    const bool taken = core.locked([&] {
      const bool takes = !core.refuse_posts_ && !core.ended_;
      if (takes) core.posted_.push_back({call, argument});
      return takes;
    });
    core.changed_.notify_all();
    return taken ? APPSERVER_OK : APPSERVER_GONE;
  }
  static appserver_timer timer_start(appserver_worker* worker, std::uint64_t delay,
                                     std::uint64_t every, void (*call)(void*) APPSERVER_NOEXCEPT,
                                     void* argument) noexcept {
    Core& core = of(worker);
    if (!core.is_on_loop("timer_start") || core.ended_) return 0;
    if (core.timers_.size() >= core.most_timers_) return 0;
    core.timers_[++core.last_timer_] = {core.now_ + delay, every, {call, argument}};
    return core.last_timer_;
  }
  static std::int32_t timer_cancel(appserver_worker* worker, appserver_timer timer) noexcept {
    Core& core = of(worker);
    if (!core.is_on_loop("timer_cancel")) return APPSERVER_INVALID;
    return core.timers_.erase(timer) == 1 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
  }
  // A worker takes no harm from it here; elsewhere it would be a data race.
  bool is_on_loop(const char* call) {
    if (on_loop()) return true;
    write_log(APPSERVER_LOG_ERROR, std::string(call) + " was called from another thread: refused");
    return false;
  }

  static bool is_metric_name(std::string_view name) {
    if (name.empty() || name.size() > 47 || (name[0] >= '0' && name[0] <= '9')) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
  }
  static appserver_metric metric(appserver_worker* worker, std::int32_t kind,
                                 appserver_str str) noexcept {
    constexpr std::size_t kMost = 64;
    Core& core = of(worker);
    const std::string_view name = detail::view(str);
    if (!is_metric_name(name)) return 0;
    return core.locked([&]() -> appserver_metric {
      for (std::size_t i = 0; i < core.metrics_.size(); ++i) {
        if (core.metrics_[i].name == name) return core.metrics_[i].kind == kind ? i + 1 : 0;
      }
      if (core.metrics_.size() >= kMost) return 0;
      core.metrics_.push_back({std::string(name), kind, 0});
      return core.metrics_.size();
    });
  }
  Metric* find(appserver_metric id) {
    return id == 0 || id > metrics_.size() ? nullptr : &metrics_[id - 1];
  }
  static void metric_add(appserver_worker* worker, appserver_metric id, double value) noexcept {
    of(worker).locked([&] {
      Metric* const metric = of(worker).find(id);
      if (metric != nullptr && (metric->kind == APPSERVER_METRIC_GAUGE || value > 0))
        metric->value += value;
    });
  }
  static void metric_set(appserver_worker* worker, appserver_metric id, double value) noexcept {
    of(worker).locked([&] {
      Metric* const metric = of(worker).find(id);
      if (metric != nullptr && metric->kind == APPSERVER_METRIC_GAUGE) metric->value = value;
    });
  }

  Options options_;
  appserver_host table_{};
  appserver_worker_info info_{};
  const std::thread::id loop_ = std::this_thread::get_id();
  std::vector<Extension*> extensions_;

  // Loop thread only.
  std::map<appserver_timer, Timer> timers_;
  appserver_timer last_timer_ = 0;
  std::uint64_t now_ = 0;
  std::size_t most_timers_ = 100'000;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Call> posted_;
  bool refuse_posts_ = false;
  bool ended_ = false;
  std::string errors_;
  std::string logged_;
  std::vector<Metric> metrics_;
};

inline Extension::Extension(Core& core) : core_(core) { core.add(*this); }

template <class Table>
Table Extension::read_table(const appserver_plugin& plugin, const char* name) {
  Table whole{};
  if (plugin.extension == nullptr) return whole;
  const auto* const given = static_cast<const Table*>(plugin.extension(name));
  if (given == nullptr) return whole;
  const std::size_t size = std::min<std::size_t>(given->size, sizeof(whole));
  std::copy_n(static_cast<const char*>(static_cast<const void*>(given)), size,
              static_cast<char*>(static_cast<void*>(&whole)));
  return whole;
}

}  // namespace appserver::testing

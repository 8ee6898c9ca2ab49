// A host in memory for tests of plugins: the tables of the ABI over a queue, a clock that the test
// moves, and exchanges that the test reads. It keeps the contract of abi.h and abi/http.h strictly:
// what a real host refuses, this one refuses.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fake {

using Settings = std::map<std::string, std::string>;
using Fields = std::vector<std::pair<std::string, std::string>>;

// Where an exchange stands. kAnswered and kAborted are final.
enum class State { kOpen, kDeferred, kStreaming, kAnswered, kAborted, kDisconnected };

struct Answer {
  State state = State::kOpen;
  std::uint32_t status = 0;
  Fields headers = {};
  std::string body = {};
  std::int64_t content_length = -1;
  bool failed = false;  // the plugin's on_request gave ERROR, or no answer

  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return "(none)";
  }
};

class Host {
  template <class Function>
  auto locked(Function&& function) const {
    const std::lock_guard lock(mutex_);
    return function();
  }

 public:
  explicit Host(Settings settings = {}) : settings_(std::move(settings)) {
    table_ = {sizeof(appserver_host),
              APPSERVER_ABI_MAJOR,
              APPSERVER_ABI_MINOR,
              &extension,
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
    info_ = {sizeof(appserver_worker_info), 3, 7, view("fake-group"), view("0123abcd")};
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // May be changed before a plugin is made, to play an older host.
  appserver_host& table() { return table_; }
  appserver_worker* worker() { return static_cast<appserver_worker*>(static_cast<void*>(this)); }

  // How many bytes of a stream may wait unread. Reading is `read(id)`.
  void set_write_bound(std::size_t bytes) {
    locked([&] { write_bound_ = bytes; });
  }

  std::string errors() const {
    return locked([&] { return errors_; });
  }
  std::string logged() const {
    return locked([&] { return logged_; });
  }
  double metric_value(const std::string& name) const {
    return locked([&] {
      for (const Metric& each : metrics_) {
        if (each.name == name) return each.value;
      }
      return -1.0;
    });
  }
  std::size_t timers() const { return timers_.size(); }

  // Runs what is posted, on this thread. How many ran.
  std::size_t run_posted() {
    std::size_t ran = 0;
    for (;;) {
      Call call{};
      {
        const std::lock_guard lock(mutex_);
        if (posted_.empty()) return ran;
        call = posted_.front();
        posted_.pop_front();
      }
      call.run(call.argument);
      ++ran;
    }
  }

  // Waits until something is posted, then runs all of it. False after the deadline.
  bool wait_posted(std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, deadline, [&] { return !posted_.empty(); })) return false;
    }
    run_posted();
    return true;
  }

  // Moves the clock and fires what is due, in order of time.
  void advance(std::uint64_t milliseconds) {
    const std::uint64_t until = now_ + milliseconds;
    for (;;) {
      auto due = timers_.end();
      for (auto at = timers_.begin(); at != timers_.end(); ++at) {
        if (at->second.when <= until &&
            (due == timers_.end() || at->second.when < due->second.when))
          due = at;
      }
      if (due == timers_.end()) break;
      now_ = due->second.when;
      const Call call = due->second.call;
      if (due->second.every == 0) {
        timers_.erase(due);
      } else {
        due->second.when += due->second.every;
      }
      call.run(call.argument);
    }
    now_ = until;
  }

  void limit_timers(std::size_t most) { most_timers_ = most; }
  void refuse_posts() {
    locked([&] { refuse_posts_ = true; });
  }

  // What the client has got so far.
  Answer answer(appserver_exchange id) const {
    return locked([&] { return exchanges_.at(id).answer; });
  }

  // Waits for the end of the answer, however it ends.
  Answer wait(appserver_exchange id,
              std::chrono::milliseconds deadline = std::chrono::seconds(20)) const {
    std::unique_lock lock(mutex_);
    const Answer& answer = exchanges_.at(id).answer;
    changed_.wait_for(lock, deadline, [&] {
      return answer.state == State::kAnswered || answer.state == State::kAborted;
    });
    return answer;
  }

  void disconnect(appserver_exchange id) {
    locked([&] { exchanges_.at(id).answer.state = State::kDisconnected; });
  }

  // The client takes all that waits.
  void read(appserver_exchange id) {
    locked([&] { exchanges_.at(id).unread = 0; });
  }

  // For Plugin, around on_request.
  appserver_exchange open(bool head = false) {
    return locked([&] {
      exchanges_[++last_exchange_].head = head;
      return last_exchange_;
    });
  }
  void returned(appserver_exchange id, std::int32_t result) {
    locked([&] {
      Answer& answer = exchanges_.at(id).answer;
      answer.failed = result != APPSERVER_OK || answer.state == State::kOpen;
      if (!answer.failed) return;
      if (answer.state == State::kStreaming) answer.state = State::kAborted;
      if (answer.state == State::kOpen || answer.state == State::kDeferred) {
        answer.state = State::kAnswered;
        answer.status = 500;
      }
    });
    changed_.notify_all();
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
  struct Exchange {
    Answer answer;
    std::size_t unread = 0;
    bool head = false;  // no body follows, whatever the answer says
  };

  static appserver_str view(std::string_view text) noexcept { return {text.data(), text.size()}; }
  static std::string_view text(appserver_str view) noexcept { return {view.data, view.size}; }
  static Host& of(appserver_worker* worker) noexcept {
    return *static_cast<Host*>(static_cast<void*>(worker));
  }

  static const void* extension(const char* name) noexcept {
    static constexpr appserver_http_host kHttp{
        sizeof(appserver_http_host), 0, &respond, &defer, &start, &write, &finish, &abort, &alive};
    return std::string_view(name) == APPSERVER_HTTP ? &kHttp : nullptr;
  }
  static const appserver_worker_info* info(appserver_worker* worker) noexcept {
    return &of(worker).info_;
  }

  static void log(appserver_worker* worker, std::int32_t level, appserver_str message) noexcept {
    static constexpr const char* kLevels[] = {"debug: ", "info: ", "warning: ", "error: "};
    of(worker).locked(
        [&] { of(worker).logged_ += kLevels[level] + std::string(text(message)) + "\n"; });
  }
  static void report_error(appserver_worker* worker, appserver_str message) noexcept {
    of(worker).locked([&] { of(worker).errors_ = text(message); });
  }
  static std::int32_t setting(appserver_worker* worker, appserver_str path,
                              appserver_str* value) noexcept {
    const auto found = of(worker).settings_.find(std::string(text(path)));
    if (found == of(worker).settings_.end()) return APPSERVER_NOT_FOUND;
    *value = view(found->second);
    return APPSERVER_OK;
  }

  static std::int32_t post(appserver_worker* worker, void (*call)(void*) APPSERVER_NOEXCEPT,
                           void* argument) noexcept {
    Host& host = of(worker);
    const bool taken = host.locked([&] {
      if (!host.refuse_posts_) host.posted_.push_back({call, argument});
      return !host.refuse_posts_;
    });
    host.changed_.notify_all();
    return taken ? APPSERVER_OK : APPSERVER_GONE;
  }
  static appserver_timer timer_start(appserver_worker* worker, std::uint64_t delay,
                                     std::uint64_t every, void (*call)(void*) APPSERVER_NOEXCEPT,
                                     void* argument) noexcept {
    Host& host = of(worker);
    if (host.timers_.size() >= host.most_timers_) return 0;
    host.timers_[++host.last_timer_] = {host.now_ + delay, every, {call, argument}};
    return host.last_timer_;
  }
  static std::int32_t timer_cancel(appserver_worker* worker, appserver_timer timer) noexcept {
    return of(worker).timers_.erase(timer) == 1 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
  }

  static appserver_metric metric(appserver_worker* worker, std::int32_t kind,
                                 appserver_str name) noexcept {
    Host& host = of(worker);
    if (name.size == 0 || name.size > 47) return 0;
    return host.locked([&]() -> appserver_metric {
      for (std::size_t i = 0; i < host.metrics_.size(); ++i) {
        if (host.metrics_[i].name == text(name)) return host.metrics_[i].kind == kind ? i + 1 : 0;
      }
      host.metrics_.push_back({std::string(text(name)), kind, 0});
      return host.metrics_.size();
    });
  }
  static void metric_add(appserver_worker* worker, appserver_metric id, double value) noexcept {
    of(worker).locked([&] {
      Metric& metric = of(worker).metrics_[id - 1];
      if (metric.kind == APPSERVER_METRIC_GAUGE || value > 0) metric.value += value;
    });
  }
  static void metric_set(appserver_worker* worker, appserver_metric id, double value) noexcept {
    of(worker).locked([&] { of(worker).metrics_[id - 1].value = value; });
  }

  // Runs change(Exchange&) if the client of this exchange still waits in one of the given states,
  // else gives GONE.
  template <class Change>
  static std::int32_t in_state(appserver_worker* worker, appserver_exchange id, bool streaming,
                               Change&& change) {
    Host& host = of(worker);
    const std::int32_t result = host.locked([&]() -> std::int32_t {
      Exchange& exchange = host.exchanges_.at(id);
      const State state = exchange.answer.state;
      if (state == State::kAnswered || state == State::kAborted || state == State::kDisconnected)
        return APPSERVER_GONE;
      if ((state == State::kStreaming) != streaming) return APPSERVER_INVALID;
      return change(exchange);
    });
    host.changed_.notify_all();
    return result;
  }

  static bool take_head(Answer& answer, const appserver_http_response& response) {
    if (response.status < 200 || response.status > 599) return false;
    Fields fields;
    for (std::uint32_t i = 0; i < response.header_count; ++i) {
      const std::string name(text(response.headers[i].name));
      const std::string value(text(response.headers[i].value));
      if (name == "Content-Length" || name == "Transfer-Encoding" || name == "Connection" ||
          name == "Date")
        return false;
      if (name.empty() || value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
        return false;
      fields.emplace_back(name, value);
    }
    answer.status = response.status;
    answer.headers = std::move(fields);
    answer.body = text(response.body);
    return true;
  }

  static std::int32_t respond(appserver_worker* worker, appserver_exchange id,
                              const appserver_http_response* response) noexcept {
    return in_state(worker, id, false, [&](Exchange& exchange) {
      if (!take_head(exchange.answer, *response)) return APPSERVER_INVALID;
      exchange.answer.state = State::kAnswered;
      return APPSERVER_OK;
    });
  }
  static std::int32_t defer(appserver_worker* worker, appserver_exchange id) noexcept {
    return in_state(worker, id, false, [&](Exchange& exchange) {
      exchange.answer.state = State::kDeferred;
      return APPSERVER_OK;
    });
  }
  static std::int32_t start(appserver_worker* worker, appserver_exchange id,
                            const appserver_http_response* response,
                            std::int64_t content_length) noexcept {
    return in_state(worker, id, false, [&](Exchange& exchange) {
      if (!take_head(exchange.answer, *response)) return APPSERVER_INVALID;
      exchange.answer.content_length = content_length;
      exchange.answer.state = State::kStreaming;
      return APPSERVER_OK;
    });
  }
  static std::int32_t write(appserver_worker* worker, appserver_exchange id,
                            appserver_str piece) noexcept {
    return in_state(worker, id, true, [&](Exchange& exchange) {
      Answer& answer = exchange.answer;
      if (answer.content_length >= 0 &&
          answer.body.size() + piece.size > static_cast<std::size_t>(answer.content_length)) {
        return APPSERVER_INVALID;
      }
      if (exchange.unread > of(worker).write_bound_) return APPSERVER_LIMIT;
      exchange.unread += piece.size;
      answer.body += text(piece);
      return APPSERVER_OK;
    });
  }
  static std::int32_t finish(appserver_worker* worker, appserver_exchange id) noexcept {
    return in_state(worker, id, true, [&](Exchange& exchange) {
      Answer& answer = exchange.answer;
      const bool whole = exchange.head || answer.content_length < 0 ||
                         answer.body.size() == static_cast<std::size_t>(answer.content_length);
      answer.state = whole ? State::kAnswered : State::kAborted;
      return whole ? APPSERVER_OK : APPSERVER_INVALID;
    });
  }
  static std::int32_t abort(appserver_worker* worker, appserver_exchange id) noexcept {
    return in_state(worker, id, true, [&](Exchange& exchange) {
      exchange.answer.state = State::kAborted;
      return APPSERVER_OK;
    });
  }
  static std::int32_t alive(appserver_worker* worker, appserver_exchange id) noexcept {
    return of(worker).locked([&] {
      const State state = of(worker).exchanges_.at(id).answer.state;
      const bool waits =
          state == State::kOpen || state == State::kDeferred || state == State::kStreaming;
      return waits ? APPSERVER_OK : APPSERVER_GONE;
    });
  }

  appserver_host table_{};
  appserver_worker_info info_{};
  const Settings settings_;

  // Loop thread only.
  std::map<appserver_timer, Timer> timers_;
  appserver_timer last_timer_ = 0;
  std::uint64_t now_ = 0;
  std::size_t most_timers_ = 1000;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Call> posted_;
  bool refuse_posts_ = false;
  std::string errors_;
  std::string logged_;
  std::vector<Metric> metrics_;
  std::map<appserver_exchange, Exchange> exchanges_;
  appserver_exchange last_exchange_ = 0;
  std::size_t write_bound_ = 1 << 20;
};

}  // namespace fake

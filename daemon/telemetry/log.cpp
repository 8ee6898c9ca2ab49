#include "telemetry/log.hpp"

#include <signal.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>

#include "telemetry/log_sink.hpp"

namespace appserver::telemetry {
namespace {

constexpr std::size_t kQueueLength = 8192;
constexpr auto kLastWait = std::chrono::seconds(1);

// The background thread inherits the mask of the moment it is made: no signal meant for the loop
// ends up there, and a closed pipe is an error rather than the end of the process.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

bool journal_is_there() { return ::access("/run/systemd/journal/socket", W_OK) == 0; }

std::shared_ptr<spdlog::details::thread_pool> make_pool() {
  const AllSignalsBlocked blocked;
  return std::make_shared<spdlog::details::thread_pool>(kQueueLength, 1);
}

std::string format_entry(Format format, bool prefixed, const LogEntry& entry) {
  switch (format) {
    case Format::json:
      return format_json(entry);
    case Format::journald:
      return format_journal(entry);
    case Format::text:
      break;
  }
  return prefixed ? fmt::format("<{}>{}", priority(entry.level), format_text(entry))
                  : format_text(entry);
}

}  // namespace

class Log::Queue {
 public:
  using Formatter = std::function<std::string(const LogEntry&)>;

  Queue(int fd, bool to_journal, Formatter format)
      : sink_(std::make_shared<LogSink>(fd, to_journal)),
        pool_(make_pool()),
        logger_(std::make_shared<spdlog::async_logger>(
            "appserverd", sink_, pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    sink_->set_preamble([this, pool = pool_.get(), format = std::move(format)] {
      return report_of_losses(pool->overrun_counter(), format);
    });
  }

  ~Queue() {
    if (!flush(std::chrono::steady_clock::now() + kLastWait)) sink_->abandon();
    pool_.reset();
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  void push(std::string_view line) {
    pushed_.fetch_add(1, std::memory_order_relaxed);
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

  std::uint64_t dropped() const { return pool_->overrun_counter() + sink_->failed(); }

  bool flush(std::chrono::steady_clock::time_point deadline) {
    const std::uint64_t target = pushed_.load(std::memory_order_relaxed);
    return sink_->wait_until(deadline,
                             [&] { return sink_->taken() + pool_->overrun_counter() >= target; });
  }

 private:
  // Runs in the background thread.
  std::string report_of_losses(std::uint64_t lost, const Formatter& format) {
    if (lost == reported_) return {};
    const std::string message =
        fmt::format("{} log lines lost: whoever reads the log is too slow", lost - reported_);
    reported_ = lost;
    return format({.time = std::chrono::system_clock::now(),
                   .level = Level::warning,
                   .origin = {},
                   .message = message});
  }

  std::shared_ptr<LogSink> sink_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
  std::atomic<std::uint64_t> pushed_ = 0;
  std::uint64_t reported_ = 0;  // the background thread's
};

Log::Log(Level level, Format format, int fd) : level_(level), format_(format) {
  if (format_ == Format::journald && !journal_is_there()) {
    format_ = Format::text;
    prefixed_ = true;
  }
  queue_ = std::make_unique<Queue>(fd, format_ == Format::journald,
                                   [format = format_, prefixed = prefixed_](const LogEntry& entry) {
                                     return format_entry(format, prefixed, entry);
                                   });
}

Log::~Log() = default;

void Log::write(Level level, const Origin& origin, std::string_view message) {
  if (!enabled(level)) return;
  queue_->push(format_entry(format_, prefixed_,
                            {.time = std::chrono::system_clock::now(),
                             .level = level,
                             .origin = origin,
                             .message = message}));
}

std::uint64_t Log::dropped() const { return queue_->dropped(); }

bool Log::flush(std::chrono::steady_clock::time_point deadline) { return queue_->flush(deadline); }

}  // namespace appserver::telemetry

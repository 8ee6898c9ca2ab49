// The daemon's log. A call formats, puts the line into a bounded queue and returns; one background
// thread writes. When the reader is too slow the oldest lines go, are counted, and the log says so:
// logging never blocks the caller.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "telemetry/log_format.hpp"

namespace appserver::telemetry {

// Every member may be called from any thread.
class Log {
 public:
  // Lines under `level` are left out. `fd` is duplicated; it stays blocking for others that share
  // it. Format::journald needs the journal's socket; without it lines go to `fd` as text with the
  // "<6>" prefix that systemd understands. All signals are blocked in the background thread. Throws
  // os::SystemError.
  Log(Level level, Format format, int fd = 2);
  // Waits a second at most for what is queued.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  bool enabled(Level level) const { return level >= level_; }
  void write(Level level, const Origin& origin, std::string_view message);

  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    write_formatted(Level::debug, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    write_formatted(Level::info, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    write_formatted(Level::warning, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    write_formatted(Level::error, format, std::forward<Args>(args)...);
  }

  // Lines that nobody will read: pushed out of the queue, or refused by the descriptor.
  std::uint64_t dropped() const;

  // Waits until what was logged before the call has been written (or dropped). False at the
  // deadline.
  bool flush(std::chrono::steady_clock::time_point deadline);

 private:
  template <typename... Args>
  void write_formatted(Level level, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level)) write(level, Origin{}, fmt::format(format, std::forward<Args>(args)...));
  }

  class Queue;
  Level level_;
  Format format_;
  bool prefixed_ = false;  // the journal was asked for and is absent
  std::unique_ptr<Queue> queue_;
};

}  // namespace appserver::telemetry

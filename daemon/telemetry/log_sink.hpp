// Where the log's background thread puts its lines: a descriptor, or the journal. Never waits
// without a way out.
#pragma once

#include <spdlog/sinks/sink.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "os/fd.hpp"
#include "telemetry/log_format.hpp"

namespace appserver::telemetry {

// Takes payloads that are formatted already. log() is called by one thread; the rest may be called
// by others.
class LogSink final : public spdlog::sinks::sink {
 public:
  // `fd` is duplicated. With `to_journal`, payloads are those of format_journal and go to the
  // journal instead.
  LogSink(int fd, bool to_journal);

  // Called before each payload; what it returns (a report of lost lines, or nothing) is put first.
  using Preamble = std::function<std::string()>;
  void set_preamble(Preamble preamble) { preamble_ = std::move(preamble); }

  void log(const spdlog::details::log_msg& message) override;
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  // Payloads handed to log() so far, and those of them that could not be delivered.
  std::uint64_t taken() const { return taken_.load(std::memory_order_acquire); }
  std::uint64_t failed() const { return failed_.load(std::memory_order_relaxed); }

  // Waits until `done()` holds, looked at after each payload, or the deadline. Returns what `done`
  // said last.
  bool wait_until(std::chrono::steady_clock::time_point deadline,
                  const std::function<bool()>& done);

  // From now on payloads are thrown away, the one under way included: the reader is stuck and the
  // process wants to end.
  void abandon();

 private:
  bool put(std::string_view payload);
  bool put_to_descriptor(std::string_view line);
  // False when the descriptor can't be waited for, or abandon() was called.
  bool wait_writable() const;

  os::Fd output_;
  os::Fd abandoned_event_;
  bool is_socket_ = false;
  bool to_journal_ = false;
  std::atomic<bool> abandoned_ = false;
  std::atomic<std::uint64_t> taken_ = 0;
  std::atomic<std::uint64_t> failed_ = 0;
  Preamble preamble_;
  std::mutex mutex_;
  std::condition_variable progress_;
};

}  // namespace appserver::telemetry

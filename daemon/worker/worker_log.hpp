// A worker's way into the daemon's log: one message a line to the supervisor, which writes it with
// group and slot.
#pragma once

#include <string_view>

#include "config/config.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::worker {

// Any thread. Never blocks: what the supervisor cannot take at once is dropped and counted in the
// page.
class WorkerLog final {
 public:
  // One byte of level ('0' + config::LogLevel), then the text.
  static constexpr std::size_t kMaxText = 8 * 1024;

  WorkerLog(os::Fd socket, config::LogLevel level, telemetry::WorkerPage& page)
      : socket_(std::move(socket)), level_(level), page_(page) {}

  void write(config::LogLevel level, std::string_view text);

 private:
  os::Fd socket_;
  config::LogLevel level_;
  telemetry::WorkerPage& page_;
};

}  // namespace appserver::worker

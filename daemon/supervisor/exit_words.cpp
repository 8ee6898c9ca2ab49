#include "supervisor/exit_words.hpp"

#include <fmt/format.h>

#include <csignal>

#include "channel/process.hpp"

namespace appserver::supervisor {
namespace {

std::string describe_status(const WorkerEnd& end, const std::string& build) {
  if (!end.failure.empty()) return end.failure;
  const std::string where = end.hook == telemetry::Hook::none
                                ? ""
                                : fmt::format(" in {}", telemetry::to_string(end.hook));
  // The bus is of no build.
  const std::string what =
      build.empty() ? where : fmt::format("{}, build {}", where, build.substr(0, 7));
  if (end.status.signalled) {
    return os::signal_name(end.status.code) + what + (end.status.core ? " (core dumped)" : "");
  }
  if (end.said_stopped) return "stopped";
  if (end.status.code == channel::kExitedInPlugin && end.hook != telemetry::Hook::none) {
    return fmt::format("called exit(){}", what);
  }
  if (end.status.code == os::kCannotExec) return "could not be executed; see the log";
  return fmt::format("exited with status {}{}", end.status.code, what);
}

}  // namespace

std::string describe_end(const WorkerEnd& end, const std::string& build) {
  const std::string status = describe_status(end, build);
  // Who was killed from outside had no last words.
  const bool killed =
      end.status.signalled && (end.status.code == SIGKILL || end.status.code == SIGTERM);
  const bool unasked = end.failure.empty() && !end.said_stopped && !killed;
  return unasked && !end.last_output.empty()
             ? fmt::format("{}; its last words: {}", status, end.last_output)
             : status;
}

std::string where_it_is(const telemetry::WorkerPage& page) {
  const telemetry::Hook hook = page.hook.load(std::memory_order_relaxed);
  if (hook == telemetry::Hook::none) return {};
  return fmt::format("; it is in {}", telemetry::to_string(hook));
}

}  // namespace appserver::supervisor

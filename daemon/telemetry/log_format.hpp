// A log entry as text, as JSON and as journal fields. Pure: values in, a string out.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

namespace appserver::telemetry {

enum class Level { debug, info, warning, error };
enum class Format { text, json, journald };

// Who says it. The default is the daemon itself.
struct Origin {
  std::string_view group = {};
  int slot = -1;  // -1: none
  pid_t pid = 0;  // 0: not said
  std::string_view build = {};
};

struct LogEntry {
  std::chrono::system_clock::time_point time;
  Level level = Level::info;
  Origin origin;
  std::string_view message;
};

// A message longer than this is cut, with a mark that says how much is missing.
inline constexpr std::size_t kMaxMessage = 8192;

std::string_view to_string(Level level);

// The priority of syslog(3): debug 7, info 6, warning 4, error 3.
int priority(Level level);

// "2026-11-22 14:00:00.123 info    api/0[1234] message\n", in local time. Control characters and
// what is not UTF-8 are escaped, so that no message can look like a second line or steer a
// terminal.
std::string format_text(const LogEntry& entry);

// One object and a newline: time (RFC 3339, UTC), level, message and, where known, group, slot,
// pid, build.
std::string format_json(const LogEntry& entry);

// Fields "NAME=value" for sd_journal_sendv, each ended by a NUL (which no value holds).
std::string format_journal(const LogEntry& entry);

}  // namespace appserver::telemetry

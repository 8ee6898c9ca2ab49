#include "telemetry/log_format.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <ctime>

#include "os/utf8.hpp"

namespace appserver::telemetry {
namespace {

using os::clean;
using os::Control;

std::string clean_message(std::string_view message, Control control) {
  if (message.size() <= kMaxMessage) return clean(message, control);
  std::size_t end = kMaxMessage;
  while (end > kMaxMessage - 4 && os::is_continuation(message[end])) --end;
  return fmt::format("{} [cut: {} bytes more]", clean(message.substr(0, end), control),
                     message.size() - end);
}

int milliseconds_of(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch();
  return static_cast<int>(((since.count() % 1000) + 1000) % 1000);
}

std::time_t seconds_of(std::chrono::system_clock::time_point time) {
  return std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time));
}

std::string who(const Origin& origin) {
  std::string out = origin.group.empty() ? "appserverd" : clean(origin.group, Control::escape);
  if (origin.slot >= 0) fmt::format_to(std::back_inserter(out), "/{}", origin.slot);
  if (origin.pid > 0) fmt::format_to(std::back_inserter(out), "[{}]", origin.pid);
  return out;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  fmt::format_to(std::back_inserter(out), "{}={}", name, value);
  out.push_back('\0');
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "error";
}

int priority(Level level) {
  switch (level) {
    case Level::debug:
      return 7;
    case Level::info:
      return 6;
    case Level::warning:
      return 4;
    case Level::error:
      return 3;
  }
  return 3;
}

std::string format_text(const LogEntry& entry) {
  const std::time_t seconds = seconds_of(entry.time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03} {:<7} {} {}\n", local, milliseconds_of(entry.time),
                     to_string(entry.level), who(entry.origin),
                     clean_message(entry.message, Control::escape));
}

std::string format_json(const LogEntry& entry) {
  const std::time_t seconds = seconds_of(entry.time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  boost::json::object object;
  object["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", utc, milliseconds_of(entry.time));
  object["level"] = to_string(entry.level);
  object["message"] = clean_message(entry.message, Control::keep);
  if (!entry.origin.group.empty()) object["group"] = clean(entry.origin.group, Control::keep);
  if (entry.origin.slot >= 0) object["slot"] = entry.origin.slot;
  if (entry.origin.pid > 0) object["pid"] = entry.origin.pid;
  if (!entry.origin.build.empty()) object["build"] = clean(entry.origin.build, Control::keep);
  return boost::json::serialize(object) + "\n";
}

std::string format_journal(const LogEntry& entry) {
  std::string out;
  const std::string message = clean_message(entry.message, Control::escape);
  const bool of_a_group = !entry.origin.group.empty();
  append_field(out, "MESSAGE", of_a_group ? who(entry.origin) + " " + message : message);
  append_field(out, "PRIORITY", std::to_string(priority(entry.level)));
  append_field(out, "SYSLOG_IDENTIFIER", "appserverd");
  if (of_a_group) append_field(out, "APPSERVER_GROUP", clean(entry.origin.group, Control::escape));
  if (entry.origin.slot >= 0)
    append_field(out, "APPSERVER_SLOT", std::to_string(entry.origin.slot));
  if (entry.origin.pid > 0) append_field(out, "APPSERVER_PID", std::to_string(entry.origin.pid));
  if (!entry.origin.build.empty())
    append_field(out, "APPSERVER_BUILD", clean(entry.origin.build, Control::escape));
  return out;
}

}  // namespace appserver::telemetry

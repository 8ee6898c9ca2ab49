#include "telemetry/log_format.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <ctime>
#include <iterator>

namespace appserver::telemetry {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// Bytes of the well-formed UTF-8 character that `text` begins with; 0 where there is none.
std::size_t character_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second > 0x9F;
  const bool beyond_unicode = lead == 0xF4 && second > 0x8F;
  return overlong || surrogate || beyond_unicode ? 0 : length;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  return first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
}

void append_escaped(std::string& out, std::string_view bytes) {
  if (bytes == "\n") {
    out += "\\n";
  } else if (bytes == "\t") {
    out += "\\t";
  } else if (bytes == "\r") {
    out += "\\r";
  } else {
    for (const char byte : bytes) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(byte));
    }
  }
}

enum class Control { keep, escape };

// Well-formed UTF-8 from anything. Stray bytes become "\xNN"; so do control characters unless they
// are kept.
std::string clean(std::string_view text, Control control) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    const bool escape = length == 0 || (control == Control::escape && is_control(character));
    if (escape) {
      append_escaped(out, character);
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

std::string clean_message(std::string_view message, Control control) {
  if (message.size() <= kMaxMessage) return clean(message, control);
  std::size_t end = kMaxMessage;
  while (end > kMaxMessage - 4 && is_continuation(message[end])) --end;
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

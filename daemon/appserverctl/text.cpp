#include "appserverctl/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace appserver::appserverctl {

namespace {

// The value of the UTF-8 sequence that `text` begins with, and its length; length 0 where there is
// none.
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length = 0;
};

CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {};
  std::uint32_t value = lead & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kLeast[length] || value > 0x10ffff || surrogate) return {};
  return {value, length};
}

bool printable(std::uint32_t value) {
  const bool control = value < 0x20 || (value >= 0x7f && value < 0xa0);
  const bool turns_direction = value == 0x061c || value == 0x200e || value == 0x200f ||
                               (value >= 0x2028 && value <= 0x202e) ||
                               (value >= 0x2066 && value <= 0x2069);
  return !control && !turns_direction;
}

std::string in_units(double value, double step, std::string_view units, double whole_from) {
  std::size_t unit = 0;
  const auto shown = [&] {
    return value < whole_from ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value);
  };
  value /= step;
  // 999.95k is shown as 1.0M, not as 1000k.
  while (unit + 1 < units.size() && value >= step - 0.5) {
    value /= step;
    ++unit;
  }
  return shown() + units[unit];
}

}  // namespace

std::string human_count(std::uint64_t count) {
  if (count < 10'000) return std::to_string(count);
  return in_units(static_cast<double>(count), 1000, "kMGTPE", 100);
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{}B", bytes);
  return in_units(static_cast<double>(bytes), 1024, "KMGTPE", 10);
}

std::string human_duration(std::chrono::seconds duration) {
  const auto seconds = std::max<std::int64_t>(0, duration.count());
  const auto minutes = seconds / 60;
  const auto hours = minutes / 60;
  if (minutes == 0) return fmt::format("{}s", seconds);
  if (hours == 0) return fmt::format("{}m{:02}s", minutes, seconds % 60);
  if (hours < 24) return fmt::format("{}h{:02}m", hours, minutes % 60);
  return fmt::format("{}d{:02}h", hours / 24, hours % 24);
}

std::string human_span(std::chrono::milliseconds span) {
  const auto seconds = std::chrono::duration<double>(span).count();
  if (seconds < 59.95) return fmt::format("{:.1f}s", std::max(seconds, 0.0));
  return human_duration(std::chrono::round<std::chrono::seconds>(span));
}

std::string since_start(std::chrono::milliseconds elapsed) {
  return fmt::format("+{:.2f}s", std::chrono::duration<double>(elapsed).count());
}

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    const std::size_t length = std::max<std::size_t>(point.length, 1);
    if (point.length > 0 && printable(point.value)) {
      out += text.substr(0, length);
    } else if (text[0] == '\n') {
      out += "\\n";
    } else if (text[0] == '\t') {
      out += "\\t";
    } else {
      for (const char byte : text.substr(0, length)) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
      }
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string escaped_text(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::string out;
  for (;;) {
    const std::size_t end = text.find('\n');
    out += escaped(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += "\n    ";
    text.remove_prefix(end + 1);
  }
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  }));
}

}  // namespace appserver::appserverctl

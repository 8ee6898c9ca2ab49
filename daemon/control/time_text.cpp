#include "control/time_text.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace appserver::control {

namespace {

using std::chrono::system_clock;

// Nanoseconds in 64 bits end in 2262.
constexpr int kFirstYear = 1700;
constexpr int kLastYear = 2200;

constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:ddZ";

bool has_shape(std::string_view text) {
  if (text.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) return false;
  }
  return true;
}

int number(std::string_view text, std::size_t begin, std::size_t length) {
  int value = 0;
  for (const char digit : text.substr(begin, length)) value = 10 * value + (digit - '0');
  return value;
}

}  // namespace

std::string time_text(system_clock::time_point time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<system_clock::time_point> parse_time(std::string_view text) {
  if (!has_shape(text)) return std::nullopt;
  const int year = number(text, 0, 4);
  const std::chrono::year_month_day date{
      std::chrono::year(year), std::chrono::month(static_cast<unsigned>(number(text, 5, 2))),
      std::chrono::day(static_cast<unsigned>(number(text, 8, 2)))};
  const int hour = number(text, 11, 2);
  const int minute = number(text, 14, 2);
  const int second = number(text, 17, 2);
  const bool on_the_clock = hour < 24 && minute < 60 && second < 60;
  if (!date.ok() || year < kFirstYear || year > kLastYear || !on_the_clock) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

}  // namespace appserver::control

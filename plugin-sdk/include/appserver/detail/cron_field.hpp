// One field of a cron expression.
#pragma once

#include <appserver/detail/text.hpp>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace appserver::detail {

struct CronField {
  std::uint64_t bits = 0;  // bit n: the value n
  bool starred = false;    // begins with '*'
};

struct CronFieldKind {
  std::string_view name;
  unsigned least;
  unsigned most;
  std::span<const std::string_view> names;  // of `least` and the values after it
};

inline constexpr std::array<std::string_view, 12> kMonthNames{
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
inline constexpr std::array<std::string_view, 7> kDayNames{"sun", "mon", "tue", "wed",
                                                           "thu", "fri", "sat"};
inline constexpr std::array<CronFieldKind, 5> kCronFields{
    CronFieldKind{"minute", 0, 59, {}}, CronFieldKind{"hour", 0, 23, {}},
    CronFieldKind{"day of month", 1, 31, {}}, CronFieldKind{"month", 1, 12, kMonthNames},
    CronFieldKind{"day of week", 0, 7, kDayNames}};

// Reads one field; throws std::invalid_argument with the whole expression and the field's name.
class CronFieldParser {
 public:
  CronFieldParser(std::string_view expression, const CronFieldKind& kind)
      : expression_(expression), kind_(kind) {}

  CronField parse(std::string_view text) const {
    CronField field{0, text.starts_with('*')};
    for (;;) {
      const std::size_t comma = text.find(',');
      add(field, text.substr(0, comma));
      if (comma == std::string_view::npos) return field;
      text.remove_prefix(comma + 1);
    }
  }

 private:
  [[noreturn]] void wrong(std::string_view item, const std::string& why) const {
    throw std::invalid_argument("cron \"" + std::string(expression_) + "\": " +
                                std::string(kind_.name) + " \"" + std::string(item) + "\": " + why);
  }

  std::string limits() const {
    std::string text = std::to_string(kind_.least) + " to " + std::to_string(kind_.most);
    if (!kind_.names.empty())
      text.append(", or ").append(kind_.names.front()).append(" to ").append(kind_.names.back());
    return text;
  }

  void add(CronField& field, std::string_view item) const {
    const std::size_t slash = item.find('/');
    const std::string_view range = item.substr(0, slash);
    const std::size_t dash = range.find('-');
    unsigned first = kind_.least;
    unsigned last = kind_.most;
    if (range != "*") {
      first = value(item, range.substr(0, dash));
      last = dash == std::string_view::npos ? first : value(item, range.substr(dash + 1));
      if (slash != std::string_view::npos && dash == std::string_view::npos)
        wrong(item, "a step needs a range or * before it");
    }
    if (last < first) wrong(item, "the range ends before it begins");
    unsigned step = 1;
    if (slash != std::string_view::npos) {
      const auto given = number(item.substr(slash + 1));
      if (!given || *given == 0 || *given > kind_.most)
        wrong(item, "the step is not 1 to " + std::to_string(kind_.most));
      step = *given;
    }
    for (unsigned at = first; at <= last; at += step) field.bits |= std::uint64_t{1} << at;
  }

  unsigned value(std::string_view item, std::string_view text) const {
    for (std::size_t i = 0; i < kind_.names.size(); ++i) {
      if (equal_ignoring_case(kind_.names[i], text)) return kind_.least + static_cast<unsigned>(i);
    }
    const auto given = number(text);
    if (!given || *given < kind_.least || *given > kind_.most) wrong(item, "expected " + limits());
    return *given;
  }

  static std::optional<unsigned> number(std::string_view text) noexcept {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
  }

  std::string_view expression_;
  const CronFieldKind& kind_;
};

inline CronField parse_cron_field(std::string_view expression, const CronFieldKind& kind,
                                  std::string_view text) {
  return CronFieldParser(expression, kind).parse(text);
}

}  // namespace appserver::detail

// Dates of HTTP (RFC 9110 5.6.7).
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <iomanip>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace appserver::detail {

// "Sun, 06 Nov 1994 08:49:37 GMT".
inline std::string http_date(std::time_t time) {
  constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm at{};
  if (::gmtime_r(&time, &at) == nullptr) return {};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays.at(static_cast<std::size_t>(at.tm_wday)), at.tm_mday,
                kMonths.at(static_cast<std::size_t>(at.tm_mon)), at.tm_year + 1900, at.tm_hour,
                at.tm_min, at.tm_sec);
  return text.data();
}

// The three forms that a recipient takes; nullopt for what is none.
inline std::optional<std::time_t> parse_http_date(std::string_view text) {
  constexpr char kEnd = '|';  // get_time takes a text that ends too soon for whole
  for (const char* form :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"}) {
    std::istringstream in{std::string(text) + kEnd};
    in.imbue(std::locale::classic());
    std::tm at{};
    in >> std::get_time(&at, form);
    if (in.good() && in.get() == kEnd && in.peek() == std::istringstream::traits_type::eof())
      return ::timegm(&at);
  }
  return std::nullopt;
}

}  // namespace appserver::detail

// Values into JSON, where boost.JSON alone would not do.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/utf8.hpp"

namespace appserver::control {

// Plugins and files gave it: JSON takes nothing but UTF-8.
inline std::string clean(std::string_view text) { return os::clean(text, os::Control::keep); }

template <typename Value>
boost::json::value or_null(const std::optional<Value>& value) {
  return value ? boost::json::value(*value) : boost::json::value(nullptr);
}

// A whole one as such: Boost writes a double 0 as 0E0, which JSON has but people take for a fault.
inline boost::json::value as_json(double value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (value == std::trunc(value) && std::abs(value) < kExact)
    return static_cast<std::int64_t>(value);
  return value;
}

inline boost::json::array list_of(const std::vector<std::string>& texts) {
  boost::json::array out;
  for (const std::string& each : texts) out.emplace_back(clean(each));
  return out;
}

}  // namespace appserver::control

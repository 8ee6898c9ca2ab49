// Texts and times that cross the boundary.
#pragma once

#include <appserver/abi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace appserver::worker {

inline appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

inline std::string_view text(appserver_str str) { return {str.data, str.size}; }

inline std::string string_of(appserver_str str) {
  return str.size == 0 ? std::string() : std::string(str.data, str.size);
}

// 0 leaves it as it is.
inline void set_time(std::chrono::milliseconds& time, std::uint64_t wanted_ms) {
  // A day: far beyond what is of use, and far from overflowing a clock.
  constexpr std::uint64_t kLongestMs = std::uint64_t{1000} * 60 * 60 * 24;
  if (wanted_ms != 0) time = std::chrono::milliseconds(std::min(wanted_ms, kLongestMs));
}

}  // namespace appserver::worker

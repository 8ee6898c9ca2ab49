// Conditional requests and ranges (RFC 9110 13 and 14).
#pragma once

#include <algorithm>
#include <appserver/detail/http_time.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/request.hpp>
#include <charconv>
#include <cstdint>
#include <ctime>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace appserver::detail {

// What is served, as a condition sees it. `etag` is strong, with its quotes.
struct Validators {
  std::string etag;
  std::time_t modified;
};

struct ByteRange {
  std::uint64_t first;
  std::uint64_t size;
};

// Whether a header's list of entity tags holds this one, or is "*". A weak tag counts as none
// where `strong` is asked for.
inline bool lists_tag(std::string_view list, const std::string& etag, bool strong) noexcept {
  if (trimmed(list) == "*") return true;
  while (!(list = trimmed(list)).empty()) {
    if (list.front() == ',') {
      list.remove_prefix(1);
      continue;
    }
    const bool weak = list.starts_with("W/");
    const std::string_view tag = list.substr(weak ? 2 : 0);
    const std::size_t end = tag.starts_with('"') ? tag.find('"', 1) : std::string_view::npos;
    if (end == std::string_view::npos) return false;
    if (tag.substr(0, end + 1) == etag && !(weak && strong)) return true;
    list = tag.substr(end + 1);
  }
  return false;
}

// nullopt where there is no such header; a list may be spread over several.
inline std::optional<bool> tag_condition(const Request& request, std::string_view name,
                                         const std::string& etag, bool strong) noexcept {
  std::optional<bool> holds;
  for (const auto& [key, value] : request.headers()) {
    if (equal_ignoring_case(key, name))
      holds = holds.value_or(false) || lists_tag(value, etag, strong);
  }
  return holds;
}

inline std::optional<std::time_t> date_condition(const Request& request, std::string_view name) {
  const auto value = request.header(name);
  return value ? parse_http_date(*value) : std::nullopt;
}

// The order of RFC 9110 13.2.2, for GET and HEAD: 412, 304, or 200 where the request goes on.
inline int evaluate_conditions(const Request& request, const Validators& now) {
  if (const auto match = tag_condition(request, "If-Match", now.etag, true)) {
    if (!*match) return 412;
  } else if (const auto since = date_condition(request, "If-Unmodified-Since")) {
    if (now.modified > *since) return 412;
  }
  if (const auto match = tag_condition(request, "If-None-Match", now.etag, false))
    return *match ? 304 : 200;
  const auto since = date_condition(request, "If-Modified-Since");
  return since && now.modified <= *since ? 304 : 200;
}

// Whether a Range is to be looked at: no If-Range, or one that names what is there. A date does so
// only once it is certain that nothing was written in the same second after it.
inline bool range_applies(const Request& request, const Validators& now, std::time_t clock) {
  const auto condition = request.header("If-Range");
  if (!condition) return true;
  if (condition->starts_with('"') || condition->starts_with("W/")) return *condition == now.etag;
  return parse_http_date(*condition) == now.modified && now.modified < clock - 1;
}

enum class RangeKind { kWhole, kPart, kUnsatisfiable };

struct RangeOutcome {
  RangeKind kind = RangeKind::kWhole;
  ByteRange part{0, 0};
};

// Digits only; too many are the largest number.
inline std::optional<std::uint64_t> range_number(std::string_view digits) noexcept {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() ? number : std::numeric_limits<std::uint64_t>::max();
}

// One range of bytes. Another unit, several ranges and what is malformed mean the whole, as a
// server may decide (RFC 9110 14.2).
inline RangeOutcome read_range(std::string_view value, std::uint64_t size) noexcept {
  constexpr std::string_view kUnit = "bytes=";
  if (!equal_ignoring_case(value.substr(0, kUnit.size()), kUnit)) return {};
  const std::string_view spec = trimmed(value.substr(kUnit.size()));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return {};
  if (dash == 0) {
    const auto suffix = range_number(spec.substr(1));
    if (!suffix || (size == 0 && *suffix > 0)) return {};
    if (*suffix == 0) return {RangeKind::kUnsatisfiable, {0, 0}};
    const std::uint64_t count = std::min(*suffix, size);
    return {RangeKind::kPart, {size - count, count}};
  }
  const auto first = range_number(spec.substr(0, dash));
  const bool open = dash + 1 == spec.size();
  const std::optional<std::uint64_t> last =
      open ? std::numeric_limits<std::uint64_t>::max() : range_number(spec.substr(dash + 1));
  if (!first || !last || *last < *first) return {};
  if (*first >= size) return {RangeKind::kUnsatisfiable, {0, 0}};
  return {RangeKind::kPart, {*first, std::min(*last, size - 1) - *first + 1}};
}

}  // namespace appserver::detail

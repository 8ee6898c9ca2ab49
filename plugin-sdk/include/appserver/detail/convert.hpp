// Text to numbers and truth values, whole or not at all; the same rules for settings and for query
// parameters.
#pragma once

#include <appserver/detail/text.hpp>
#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace appserver::detail {

template <class T, class... Others>
concept OneOf = (std::same_as<T, Others> || ...);

// char types are text, not numbers.
template <class T>
concept Integer = std::integral<T> && !OneOf<T, bool, char, wchar_t, char8_t, char16_t, char32_t>;

template <class T>
concept Number = Integer<T> || std::floating_point<T>;

template <class T>
concept Convertible = Number<T> || OneOf<T, bool, std::string>;

// What a person would call the values that T takes.
template <Convertible T>
std::string expected() {
  if constexpr (std::same_as<T, std::string>) return "text";
  if constexpr (std::same_as<T, bool>) return "true or false";
  if constexpr (std::floating_point<T>) return "a number";
  if constexpr (Integer<T>) {
    return "a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
           std::to_string(std::numeric_limits<T>::max());
  }
}

inline std::optional<bool> to_bool(std::string_view text) noexcept {
  for (const std::string_view word : {"true", "yes", "on"}) {
    if (equal_ignoring_case(text, word)) return true;
  }
  for (const std::string_view word : {"false", "no", "off"}) {
    if (equal_ignoring_case(text, word)) return false;
  }
  return std::nullopt;
}

// Decimal, with an optional sign; all of the text; within T's range; finite.
template <Number T>
std::optional<T> to_number(std::string_view text) noexcept {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  if constexpr (std::floating_point<T>) {
    constexpr T kMax = std::numeric_limits<T>::max();
    if (!(value >= -kMax && value <= kMax)) return std::nullopt;
  }
  return value;
}

template <Convertible T>
std::optional<T> convert(std::string_view text) {
  if constexpr (std::same_as<T, std::string>) {
    return std::string(text);
  } else if constexpr (std::same_as<T, bool>) {
    return to_bool(text);
  } else {
    return to_number<T>(text);
  }
}

}  // namespace appserver::detail

// Text helpers of the SDK: views across the ABI, percent-decoding, HTTP syntax. Nothing here throws
// but std::bad_alloc.
#pragma once

#include <appserver/abi.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace appserver::detail {

inline std::string_view view(appserver_str text) noexcept {
  return text.size == 0 ? std::string_view{} : std::string_view(text.data, text.size);
}

inline appserver_str str(std::string_view text) noexcept { return {text.data(), text.size()}; }

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

// Without the spaces and tabs around it.
constexpr std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// nullopt where a '%' is not followed by two hexadecimal digits.
inline std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+' && plus_is_space) {
      decoded += ' ';
    } else if (c != '%') {
      decoded += c;
    } else {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return decoded;
}

// Whether the encoded field name `raw` is `name`, without allocating where nothing is encoded.
inline bool is_field(std::string_view raw, std::string_view name) {
  if (raw.find_first_of("%+") == std::string_view::npos) return raw == name;
  const auto decoded = percent_decode(raw, true);
  return decoded && *decoded == name;
}

// The value, still encoded, of the first field of that name in "a=1&b=2"; a field without '=' has
// an empty one.
inline std::optional<std::string_view> find_field(std::string_view fields, std::string_view name) {
  while (!fields.empty()) {
    const std::string_view field = fields.substr(0, fields.find('&'));
    fields.remove_prefix(field.size() == fields.size() ? field.size() : field.size() + 1);
    const std::size_t equals = field.find('=');
    if (field.empty() || !is_field(field.substr(0, equals), name)) continue;
    return equals == std::string_view::npos ? std::string_view{} : field.substr(equals + 1);
  }
  return std::nullopt;
}

// RFC 9110 5.6.2.
constexpr bool is_token(std::string_view text) noexcept {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  for (const char c : text) {
    const bool alphanumeric = (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
    if (!alphanumeric && kMarks.find(c) == std::string_view::npos) return false;
  }
  return !text.empty();
}

// RFC 9110 5.5: no control character but the tab.
constexpr bool is_field_value(std::string_view text) noexcept {
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

}  // namespace appserver::detail

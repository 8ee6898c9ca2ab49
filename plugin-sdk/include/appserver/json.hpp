// JSON written, for answers that need no library. To read JSON a plugin brings its own.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver {
namespace detail {

// The length of the UTF-8 sequence at the beginning of `text`; 0 where there is none.
inline std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) > 0x9F;
    return !overlong && !surrogate && follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && byte(1) < 0x90;
    const bool beyond = first == 0xF4 && byte(1) > 0x8F;
    return !overlong && !beyond && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

inline void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out.append({'\\', c});
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '<') {
      const auto code = static_cast<unsigned char>(c);
      out.append("\\u00").append({kHex[code >> 4U], kHex[code & 15U]});
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

}  // namespace detail

// The text in quotes, as JSON has it. What is not UTF-8 becomes U+FFFD; '<' is escaped, so that the
// text may stand in a page, too.
inline std::string json_quote(std::string_view text) {
  std::string quoted;
  quoted.reserve(text.size() + 2);
  detail::append_json_string(quoted, text);
  return quoted;
}

// Puts a text of JSON together; commas and quotes are its business.
//   JsonText json;
//   json.object().key("id").value(7).key("tags").array().value("a").end().end();
//   response.json(json.take());
// Members out of place (a value without its key, an end too many) throw std::logic_error.
class JsonText {
 public:
  JsonText& object() { return open('{', '}'); }
  JsonText& array() { return open('[', ']'); }

  // Of the object or array begun last.
  JsonText& end() {
    if (open_.empty() || keyed_) wrong("end");
    text_ += open_.back().close;
    open_.pop_back();
    return *this;
  }

  JsonText& key(std::string_view name) {
    if (open_.empty() || open_.back().close != '}' || keyed_) wrong("key");
    comma();
    detail::append_json_string(text_, name);
    text_ += ':';
    keyed_ = true;
    return *this;
  }

  JsonText& value(std::string_view text) {
    begin_value();
    detail::append_json_string(text_, text);
    return *this;
  }
  JsonText& value(const char* text) { return value(std::string_view(text)); }
  JsonText& value(const std::string& text) { return value(std::string_view(text)); }
  JsonText& value(std::same_as<bool> auto truth) {
    begin_value();
    text_ += truth ? "true" : "false";
    return *this;
  }
  JsonText& value(std::nullptr_t) {
    begin_value();
    text_ += "null";
    return *this;
  }
  // A number that is not finite becomes null, which JSON has in its place.
  template <class Number>
    requires(std::integral<Number> || std::floating_point<Number>) && (!std::same_as<Number, bool>)
  JsonText& value(Number number) {
    if constexpr (std::floating_point<Number>) {
      if (!std::isfinite(number)) return value(nullptr);
    }
    begin_value();
    std::array<char, 64> digits{};
    const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    text_.append(digits.data(), written.ptr);
    return *this;
  }

  // The whole text; this is empty after it.
  std::string take() {
    if (!open_.empty() || text_.empty()) wrong("take");
    return std::exchange(text_, {});
  }

 private:
  struct Open {
    char close;
    bool empty;
  };

  [[noreturn]] static void wrong(const char* what) {
    throw std::logic_error(std::string("JsonText::") + what + ": out of place");
  }

  void comma() {
    if (!std::exchange(open_.back().empty, false)) text_ += ',';
  }

  void begin_value() {
    if (open_.empty() ? !text_.empty() : open_.back().close == '}' && !keyed_) wrong("value");
    if (!open_.empty() && !std::exchange(keyed_, false)) comma();
  }

  JsonText& open(char begin, char end) {
    begin_value();
    text_ += begin;
    open_.push_back({end, true});
    return *this;
  }

  std::string text_;
  std::vector<Open> open_;
  bool keyed_ = false;
};

}  // namespace appserver

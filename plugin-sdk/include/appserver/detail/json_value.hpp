// JSON read, as far as answers of the daemon need it.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace appserver::detail {

struct JsonValue {
  bool truth = false;
  std::uint64_t number = 0;  // of a whole one, 0 or more
  std::string text;
  std::vector<JsonValue> items;    // of a list, or of an object
  std::vector<std::string> names;  // of the items of an object

  // One that is empty where there is none.
  const JsonValue& at(std::string_view key) const {
    static const JsonValue kNone;
    const auto found = std::find(names.begin(), names.end(), key);
    return found == names.end() ? kNone : items[static_cast<std::size_t>(found - names.begin())];
  }
};

// Throws std::runtime_error where it is no JSON, or nested deeper than any answer.
class JsonParser {
 public:
  static JsonValue parse(std::string_view text) {
    JsonParser parser(text);
    JsonValue value = parser.value(0);
    parser.skip_blanks();
    if (!parser.text_.empty()) wrong();
    return value;
  }

 private:
  static constexpr int kDeepest = 16;

  explicit JsonParser(std::string_view text) : text_(text) {}

  [[noreturn]] static void wrong() { throw std::runtime_error("the answer is no JSON"); }

  void skip_blanks() {
    const std::size_t end = text_.find_first_not_of(" \t\r\n");
    text_.remove_prefix(end == std::string_view::npos ? text_.size() : end);
  }
  bool take(char c) {
    skip_blanks();
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view word) {
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }

  JsonValue value(int depth) {
    if (depth > kDeepest) wrong();
    JsonValue out;
    skip_blanks();
    if (take('{')) {
      members(out, depth);
    } else if (take('[')) {
      if (take(']')) return out;
      do out.items.push_back(value(depth + 1));
      while (take(','));
      if (!take(']')) wrong();
    } else if (take('"')) {
      out.text = string();
    } else if (take_word("true")) {
      out.truth = true;
    } else if (!take_word("false") && !take_word("null")) {
      out.number = number();
    }
    return out;
  }

  void members(JsonValue& out, int depth) {
    if (take('}')) return;
    do {
      if (!take('"')) wrong();
      out.names.push_back(string());
      if (!take(':')) wrong();
      out.items.push_back(value(depth + 1));
    } while (take(','));
    if (!take('}')) wrong();
  }

  std::uint64_t number() {
    const std::size_t end = std::min(text_.find_first_not_of("+-.0123456789eE"), text_.size());
    const std::string_view digits = text_.substr(0, end);
    if (digits.empty()) wrong();
    text_.remove_prefix(end);
    std::uint64_t found = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), found);
    return error == std::errc() && stop == digits.data() + digits.size() ? found : 0;
  }

  // Behind its first quote.
  std::string string() {
    std::string out;
    for (;;) {
      const std::size_t end = text_.find_first_of("\"\\");
      if (end == std::string_view::npos) wrong();
      out += text_.substr(0, end);
      const char c = text_[end];
      text_.remove_prefix(end + 1);
      if (c == '"') return out;
      escape(out);
    }
  }

  void escape(std::string& out) {
    if (text_.empty()) wrong();
    const char c = text_.front();
    text_.remove_prefix(1);
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    const std::size_t known = kNames.find(c);
    if (known != std::string_view::npos) {
      out += kMeant[known];
    } else if (c == 'u') {
      append_character(out, code_point());
    } else {
      wrong();
    }
  }

  std::uint32_t code_unit() {
    std::uint32_t unit = 0;
    const std::string_view digits = text_.substr(0, 4);
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (error != std::errc() || stop != digits.data() + 4) wrong();
    text_.remove_prefix(4);
    return unit;
  }

  std::uint32_t code_point() {
    const std::uint32_t first = code_unit();
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || !take_word("\\u")) wrong();
    const std::uint32_t second = code_unit();
    if (second < 0xDC00 || second > 0xDFFF) wrong();
    return 0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00);
  }

  static void append_character(std::string& out, std::uint32_t point) {
    const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
    if (point < 0x80) {
      byte(point);
    } else if (point < 0x800) {
      byte(0xC0 | point >> 6U);
      byte(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
      byte(0xE0 | point >> 12U);
      byte(0x80 | (point >> 6U & 0x3F));
      byte(0x80 | (point & 0x3F));
    } else {
      byte(0xF0 | point >> 18U);
      byte(0x80 | (point >> 12U & 0x3F));
      byte(0x80 | (point >> 6U & 0x3F));
      byte(0x80 | (point & 0x3F));
    }
  }

  std::string_view text_;
};

}  // namespace appserver::detail

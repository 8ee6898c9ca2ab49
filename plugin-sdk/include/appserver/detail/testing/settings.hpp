// The settings of a host in memory: from a map, or from JSON.
#pragma once

#include <appserver/detail/text.hpp>
#include <appserver/json.hpp>
#include <cstddef>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::testing {

// Path to text, as Settings of a plugin reads them: "db.hosts.0" -> "a".
using SettingMap = std::map<std::string, std::string>;

// Reads one JSON text (RFC 8259) into a SettingMap, maps and lists included.
class SettingReader {
 public:
  explicit SettingReader(std::string_view json) : rest_(json), size_(json.size()) {}

  SettingMap read() {
    static_cast<void>(value({}, 0));
    skip_space();
    if (!rest_.empty()) fail("the end");
    return std::move(found_);
  }

 private:
  static constexpr int kDeepest = 64;

  [[noreturn]] void fail(const std::string& expected) const {
    throw std::invalid_argument("settings: at byte " + std::to_string(size_ - rest_.size()) +
                                " of the JSON, expected " + expected);
  }

  void skip_space() {
    const std::size_t first = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
  }
  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(std::string("'") + c + "'");
  }

  static std::string below(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + "." + key;
  }

  // Gives the value as JSON without space; what it is under its path goes to found_.
  std::string value(const std::string& path, int depth) {
    if (depth > kDeepest) fail("fewer levels");
    skip_space();
    if (rest_.empty()) fail("a value");
    if (rest_.front() == '{') return object(path, depth);
    if (rest_.front() == '[') return array(path, depth);
    if (rest_.front() == '"') {
      found_[path] = string();
      return json_quote(found_[path]);
    }
    return word(path);
  }

  std::string object(const std::string& path, int depth) {
    expect('{');
    std::string json = "{";
    if (!take('}')) {
      do {
        skip_space();
        if (rest_.empty() || rest_.front() != '"') fail("a key in quotes");
        const std::string key = string();
        if (found_.contains(below(path, key))) fail("another key than \"" + key + "\" again");
        expect(':');
        json += (json.size() > 1 ? "," : "") + json_quote(key) + ":";
        json += value(below(path, key), depth + 1);
      } while (take(','));
      expect('}');
    }
    return found_[path] = json + "}";
  }

  std::string array(const std::string& path, int depth) {
    expect('[');
    std::string json = "[";
    if (!take(']')) {
      std::size_t index = 0;
      do {
        if (index > 0) json += ",";
        json += value(below(path, std::to_string(index++)), depth + 1);
      } while (take(','));
      expect(']');
    }
    return found_[path] = json + "]";
  }

  std::string word(const std::string& path) {
    const std::string text(rest_.substr(0, rest_.find_first_of(" \t\r\n,]}")));
    const bool number = text.find_first_not_of("0123456789+-.eE") == std::string::npos &&
                        text.find_first_of("0123456789") != std::string::npos;
    if (text != "true" && text != "false" && text != "null" && !number) fail("a value");
    rest_.remove_prefix(text.size());
    found_[path] = text == "null" ? "" : text;
    return text;
  }

  std::string string() {
    expect('"');
    std::string text;
    for (;;) {
      if (rest_.empty() || static_cast<unsigned char>(rest_.front()) < 0x20) fail("'\"'");
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return text;
      if (c == '\\') {
        escaped(text);
      } else {
        text += c;
      }
    }
  }

  void escaped(std::string& text) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    const char c = rest_.empty() ? '\0' : rest_.front();
    const std::size_t at = kNames.find(c);
    if (c != 'u' && (c == '\0' || at == std::string_view::npos)) fail("an escape");
    rest_.remove_prefix(1);
    if (c != 'u') {
      text += kMeant[at];
      return;
    }
    unsigned code = unit();
    if (code >= 0xD800 && code < 0xDC00) {
      if (!rest_.starts_with("\\u")) fail("the second half of a surrogate pair");
      rest_.remove_prefix(2);
      code = 0x10000 + ((code - 0xD800) << 10U) + (unit() - 0xDC00);
    }
    append_utf8(text, code);
  }

  unsigned unit() {
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      const int digit = rest_.empty() ? -1 : detail::hex_digit(rest_.front());
      if (digit < 0) fail("four hexadecimal digits");
      code = code * 16 + static_cast<unsigned>(digit);
      rest_.remove_prefix(1);
    }
    return code;
  }

  static void append_utf8(std::string& text, unsigned code) {
    const auto add = [&text](unsigned byte) { text += static_cast<char>(byte); };
    if (code < 0x80) {
      add(code);
    } else if (code < 0x800) {
      add(0xC0U | code >> 6U);
      add(0x80U | (code & 0x3FU));
    } else if (code < 0x10000) {
      add(0xE0U | code >> 12U);
      add(0x80U | (code >> 6U & 0x3FU));
      add(0x80U | (code & 0x3FU));
    } else {
      add(0xF0U | (code >> 18U & 0x07U));
      add(0x80U | (code >> 12U & 0x3FU));
      add(0x80U | (code >> 6U & 0x3FU));
      add(0x80U | (code & 0x3FU));
    }
  }

  std::string_view rest_;
  std::size_t size_;
  SettingMap found_;
};

// {"db": {"hosts": ["a"]}} as a plugin finds it: db.hosts.0 is "a", db.hosts is ["a"], and so on.
// Throws std::invalid_argument with the place where it is no JSON.
inline SettingMap settings_from_json(std::string_view json) { return SettingReader(json).read(); }

}  // namespace appserver::testing

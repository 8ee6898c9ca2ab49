#include "config/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

namespace appserver::config {

namespace {

namespace json = boost::json;

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string_view without_sign(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return text;
}

// Takes the digits off the front of `text`; how many.
std::size_t skip_digits(std::string_view& text) {
  const std::size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
  text.remove_prefix(count);
  return count;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool is_float(std::string_view text) {
  text = without_sign(text);
  const std::size_t whole = skip_digits(text);
  std::size_t fraction = 0;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = skip_digits(text);
  }
  if (whole + fraction == 0) return false;
  if (text.empty()) return true;
  if (text.front() != 'e' && text.front() != 'E') return false;
  return all_digits(without_sign(text.substr(1)));
}

bool is_not_finite(std::string_view text) {
  const std::string_view word = without_sign(text);
  return word == ".inf" || word == ".Inf" || word == ".INF" || text == ".nan" || text == ".NaN" ||
         text == ".NAN";
}

template <typename Number>
std::optional<json::value> number_in(std::string_view text, int base) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return json::value(number);
}

// 10 for 17 and -17, 8 for 0o17, 16 for 0xff; 0: not an integer of the core schema.
int integer_base(std::string_view text) {
  if (all_digits(without_sign(text))) return 10;
  if (text.size() < 3 || text[0] != '0') return 0;
  const std::string_view digits = text.substr(2);
  if (text[1] == 'o' && digits.find_first_not_of("01234567") == std::string_view::npos) return 8;
  const bool hex = digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  return text[1] == 'x' && hex ? 16 : 0;
}

// nullopt: it does not fit 64 bits.
std::optional<json::value> parse_integer(std::string_view text, int base) {
  if (base != 10) text.remove_prefix(2);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (auto number = number_in<std::int64_t>(text, base)) return number;
  return number_in<std::uint64_t>(text, base);
}

class Converter {
 public:
  Converter(const Scope& scope, const std::string& path) : scope_(scope), path_(path) {}

  // Recursion is bounded by the depth of the tree.
  json::value convert(const Node& node) const {
    switch (node.kind) {
      case NodeKind::null:
        return nullptr;
      case NodeKind::scalar:
        return convert_scalar(node);
      case NodeKind::sequence:
        return convert_list(node);
      case NodeKind::map:
        return convert_map(node);
    }
    return nullptr;
  }

 private:
  json::value convert_list(const Node& node) const {
    json::array array;
    array.reserve(node.items.size());
    for (const NodePtr& item : node.items) array.push_back(convert(*item));
    return array;
  }

  json::value convert_map(const Node& node) const {
    json::object object;
    object.reserve(node.entries.size());
    for (const Entry& entry : node.entries) object.emplace(entry.key, convert(*entry.value));
    return object;
  }

  json::value convert_scalar(const Node& node) const {
    const std::string& text = node.text;
    if (!node.plain) return json::value(text);
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    if (const int base = integer_base(text); base != 0) {
      if (auto number = parse_integer(text, base)) return *number;
      return refuse(node, "does not fit 64 bits");
    }
    if (is_not_finite(text)) return refuse(node, "has no form in JSON");
    if (!is_float(text)) return json::value(text);
    const std::string_view digits = text.front() == '+' ? std::string_view(text).substr(1) : text;
    double number = 0;
    const auto [rest, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || !std::isfinite(number)) {
      return refuse(node, "does not fit a double");
    }
    return number;
  }

  json::value refuse(const Node& node, std::string_view why) const {
    scope_.complain(node, fmt::format("{}: the number {} {}; put it in quotes to keep it as text",
                                      path_, in_quotes(node.text), why));
    return nullptr;
  }

  const Scope& scope_;
  const std::string& path_;
};

}  // namespace

std::string settings_json(const Scope& scope, const Node& node, const std::string& path) {
  if (node.kind == NodeKind::null) return "{}";
  return json::serialize(Converter(scope, path).convert(node));
}

}  // namespace appserver::config

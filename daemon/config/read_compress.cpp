#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 3> kCompressKeys = {"types", "min_size", "level"};

bool is_name(std::string_view text, std::string_view more) {
  return !text.empty() && std::ranges::all_of(text, [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  });
}

// A media type without parameters; one '*' in the subtype stands for any text.
struct MediaTypeRule {
  static std::string expected() { return "a media type such as text/html, text/* or image/*+xml"; }
  static Parsed<std::string> parse(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const auto slash = lower.find('/');
    const std::string_view whole = lower;
    const bool good = slash != std::string::npos && is_name(whole.substr(0, slash), "!#$&-^_.+") &&
                      is_name(whole.substr(slash + 1), "!#$&-^_.+*") &&
                      std::ranges::count(whole, '*') <= 1;
    if (!good) return wrong_value(expected(), text);
    return lower;
  }
};

void read_types(const Section& section, std::vector<std::string>& types) {
  const Entry* const entry = section.find("types");
  if (entry == nullptr) return;
  const Scope& scope = section.scope();
  const std::string path = section.path_of("types");
  if (entry->value->kind != NodeKind::sequence) {
    return scope.wrong_kind(*entry->value, path, "a list of media types");
  }
  if (entry->value->items.empty()) {
    return scope.complain(*entry, path +
                                      " is empty: give at least one media type, or leave it out "
                                      "for the usual ones");
  }
  types.clear();
  for (std::size_t i = 0; i < entry->value->items.size(); ++i) {
    std::string type;
    if (scope.read(*entry->value->items[i], fmt::format("{}[{}]", path, i), MediaTypeRule{}, type))
      types.push_back(std::move(type));
  }
}

void read_value(const Section& section, const Node& value, Compress& compress) {
  if (value.kind == NodeKind::map) {
    compress.enabled = true;
    const Section given = section.section("compress", kCompressKeys);
    read_types(given, compress.types);
    given.read("min_size", SizeRule{}, compress.min_size);
    given.read("level", IntegerRule{1, 9}, compress.level);
    return;
  }
  constexpr std::string_view kExpected = "true, false, or a mapping of types, min_size and level";
  const Scope& scope = section.scope();
  const std::string path = section.path_of("compress");
  const std::string* const text = scope.scalar(value, path, kExpected);
  if (text == nullptr) return;
  const auto enabled = BooleanRule{}.parse(*text);
  if (enabled) {
    compress.enabled = *enabled;
  } else {
    const bool is_gzip = *text == "gzip";
    scope.complain(value, path + ": " +
                              wrong_value(kExpected, *text,
                                          is_gzip ? "gzip is what is meant by compress: true" : "")
                                  .problem);
  }
}

}  // namespace

void read_compress(const Section& section, Group& group) {
  const Entry* const entry = section.find("compress");
  if (entry == nullptr) return;
  read_value(section, *entry->value, group.compress);
  const bool is_read = section.find("listen") == nullptr || !group.listen.empty();
  if (!group.compress.enabled || !is_read) return;
  if (std::ranges::any_of(group.listen, &Listen::is_http)) return;
  section.scope().complain(
      *entry, section.path_of("compress") +
                  ": only answers to HTTP are compressed, and the group listens on no http:// or "
                  "https:// address; leave it out");
}

}  // namespace appserver::config

#include "net/http/compression.hpp"

#include <algorithm>

#include "net/http/fields.hpp"
#include "net/http/grammar.hpp"

namespace appserver::net::http {
namespace {

// RFC 9110, 12.4.2, in thousandths; what is malformed is 0: not wanted.
unsigned quality_of(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  if (text.size() > 1 && text[1] != '.') return 0;
  unsigned thousandths = text[0] == '1' ? 1000 : 0;
  unsigned weight = 100;
  for (const char digit : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (digit < '0' || digit > '9') return 0;
    thousandths += static_cast<unsigned>(digit - '0') * weight;
    weight /= 10;
  }
  return thousandths > 1000 ? 0 : thousandths;
}

struct Wanted {
  std::string_view coding;
  unsigned quality = 1000;
};

// "gzip", "gzip;q=0.5": the only parameter that there is.
Wanted read_wanted(std::string_view element) {
  const auto semicolon = element.find(';');
  if (semicolon == std::string_view::npos) return {element};
  const auto parameter = trim(element.substr(semicolon + 1));
  const bool weighted = parameter.size() >= 2 && equals_ignoring_case(parameter.substr(0, 2), "q=");
  return {trim(element.substr(0, semicolon)), weighted ? quality_of(parameter.substr(2)) : 0};
}

// Named twice, the lower counts.
void take(std::optional<unsigned>& quality, unsigned given) {
  quality = std::min(quality.value_or(given), given);
}

bool lists(std::string_view list, std::string_view lower) {
  while (const auto element = next_list_element(list)) {
    if (equals_ignoring_case(*element, lower)) return true;
  }
  return false;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_of_type(std::string_view content_type, std::string_view pattern) {
  const auto type = trim(content_type.substr(0, content_type.find(';')));
  const auto same = [](std::string_view text, std::string_view part) {
    return std::ranges::equal(text, part, {}, lower);
  };
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return same(type, pattern);
  const auto front = pattern.substr(0, star);
  const auto back = pattern.substr(star + 1);
  return type.size() > front.size() + back.size() && same(type.substr(0, front.size()), front) &&
         same(type.substr(type.size() - back.size()), back);
}

// What the fields of an answer say of it.
struct Facts {
  std::string_view type;
  bool untouchable = false;
};

Facts facts_of(const appserver_http_response& response) {
  Facts facts;
  for (std::uint32_t i = 0; i < response.header_count; ++i) {
    const auto& header = header_at(response, i);
    const auto name = to_view(header.name);
    switch (name.size()) {
      case 6:
        facts.untouchable |= equals_ignoring_case(name, "digest");
        break;
      case 11:
        facts.untouchable |=
            equals_ignoring_case(name, "content-md5") || equals_ignoring_case(name, "repr-digest");
        break;
      case 12:
        if (equals_ignoring_case(name, "content-type")) facts.type = to_view(header.value);
        break;
      case 13:
        facts.untouchable |= equals_ignoring_case(name, "cache-control") &&
                             lists(to_view(header.value), "no-transform");
        break;
      case 14:
        facts.untouchable |= equals_ignoring_case(name, "content-digest");
        break;
      case 16:
        facts.untouchable |= equals_ignoring_case(name, "content-encoding");
        break;
      default:
        break;
    }
  }
  return facts;
}

}  // namespace

bool accepts_gzip(const appserver_http_request& request) {
  std::optional<unsigned> gzip;
  std::optional<unsigned> identity;
  std::optional<unsigned> any;
  for (std::uint32_t i = 0; i < request.header_count; ++i) {
    const auto& header = header_at(request, i);
    const auto name = to_view(header.name);
    if (name.size() != 15 || !equals_ignoring_case(name, "accept-encoding")) continue;
    auto list = to_view(header.value);
    while (const auto element = next_list_element(list)) {
      const Wanted wanted = read_wanted(*element);
      if (equals_ignoring_case(wanted.coding, "gzip") ||
          equals_ignoring_case(wanted.coding, "x-gzip")) {
        take(gzip, wanted.quality);
      } else if (equals_ignoring_case(wanted.coding, "identity")) {
        take(identity, wanted.quality);
      } else if (wanted.coding == "*") {
        take(any, wanted.quality);
      }
    }
  }
  const unsigned quality = gzip.value_or(any.value_or(0));
  return quality > 0 && quality >= identity.value_or(0);
}

Coding choose_coding(const Compression& rules, const appserver_http_response& response,
                     std::optional<std::uint64_t> length, bool accepts) {
  const unsigned status = response.status;
  if (!rules.enabled || status == 204 || status == 205) return {};
  const Facts facts = facts_of(response);
  if (facts.untouchable) return {};
  // The type of what was not modified is seldom told.
  const bool headless = status == 304;
  const bool of_type = (headless && facts.type.empty()) ||
                       std::ranges::any_of(rules.types, [&facts](const std::string& pattern) {
                         return is_of_type(facts.type, pattern);
                       });
  if (!of_type) return {};
  if (headless) return {.varies = true, .weak = accepts};
  if (status == 206) return {.varies = true};
  if (length.value_or(rules.min_size) < rules.min_size || length == 0) return {};
  return {.gzip = accepts, .varies = true, .weak = accepts};
}

}  // namespace appserver::net::http

#include "net/http/grammar.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

namespace appserver::net::http {

namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

constexpr bool is_hex(char c) {
  const char lower = to_lower(c);
  return is_digit(c) || (lower >= 'a' && lower <= 'f');
}

bool is_port(std::string_view text) {
  if (text.empty()) return true;
  const auto port = parse_digits(text);
  return port && *port <= 65535;
}

bool is_ipv6(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() >= buffer.size() || text.find('\0') != std::string_view::npos) return false;
  std::copy(text.begin(), text.end(), buffer.begin());
  in6_addr address{};
  return ::inet_pton(AF_INET6, buffer.data(), &address) == 1;
}

bool is_registered_name(std::string_view text) {
  if (text.empty()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
      i += 2;
      continue;
    }
    const bool letter = to_lower(c) >= 'a' && to_lower(c) <= 'z';
    if (letter || is_digit(c)) continue;
    if (c == '\0' || std::string_view("-._~!$&'()*+,;=").find(c) == std::string_view::npos)
      return false;
  }
  return true;
}

Target split_query(std::string_view text) {
  const auto mark = text.find('?');
  if (mark == std::string_view::npos) return {.path = text, .query = {}, .authority = {}};
  return {.path = text.substr(0, mark), .query = text.substr(mark + 1), .authority = {}};
}

// What stands behind "http://" or "https://"; nullopt if `target` begins with neither.
std::optional<std::string_view> strip_scheme(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() >= scheme.size() &&
        equals_ignoring_case(target.substr(0, scheme.size()), scheme)) {
      return target.substr(scheme.size());
    }
  }
  return std::nullopt;
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(),
                                                   [](char a, char b) { return to_lower(a) == b; });
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return text.substr(text.size());
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<std::string_view> next_list_element(std::string_view& list) {
  if (list.data() == nullptr) return std::nullopt;
  const auto comma = list.find(',');
  const auto element = trim(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return element;
}

std::optional<std::uint64_t> parse_digits(std::string_view text) {
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_authority(std::string_view text) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || !is_ipv6(text.substr(1, close - 1))) return false;
    const auto rest = text.substr(close + 1);
    return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
  }
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return is_registered_name(text);
  return is_registered_name(text.substr(0, colon)) && is_port(text.substr(colon + 1));
}

std::optional<Target> split_target(std::string_view method, std::string_view target) {
  const bool visible = std::all_of(target.begin(), target.end(),
                                   [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
  if (!visible) return std::nullopt;
  if (target.starts_with('/')) return split_query(target);
  if (target == "*" && method == "OPTIONS") return split_query(target);

  const auto rest = strip_scheme(target);
  if (!rest) return std::nullopt;
  const auto end = std::min(rest->find_first_of("/?"), rest->size());
  const auto authority = rest->substr(0, end);
  if (!is_authority(authority)) return std::nullopt;
  auto split = split_query(rest->substr(end));
  split.authority = authority;
  if (split.path.empty()) split.path = "/";
  return split;
}

}  // namespace appserver::net::http

// Cookies (RFC 6265). Those of a request are read by Request::cookie, set by Response::cookie.
#pragma once

#include <appserver/detail/text.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace appserver {

enum class SameSite { kLax, kStrict, kNone };

// A cookie to be set. The defaults are the careful ones; `max_age` of 0 deletes it.
//   response.cookie({.name = "id", .value = token, .max_age = std::chrono::hours(8)});
struct Cookie {
  std::string name = {};
  std::string value = {};
  std::string path = "/";                            // empty: the folder of the request
  std::string domain = {};                           // empty: this host alone
  std::optional<std::chrono::seconds> max_age = {};  // none: until the browser ends
  bool secure = false;
  bool http_only = true;
  SameSite same_site = SameSite::kLax;
};

namespace detail {

// RFC 6265 4.1.1, cookie-octet.
constexpr bool is_cookie_value(std::string_view text) noexcept {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\') return false;
  }
  return true;
}

// Of a path or a domain: nothing that ends the attribute.
constexpr bool is_cookie_attribute(std::string_view text) noexcept {
  for (const char c : text) {
    if (c < 0x20 || c >= 0x7f || c == ';') return false;
  }
  return true;
}

// Throws std::invalid_argument for what a browser would drop or read otherwise.
inline void check_cookie(const Cookie& cookie) {
  const auto wrong = [&](const char* why) {
    throw std::invalid_argument(is_token(cookie.name) ? "cookie \"" + cookie.name + "\": " + why
                                                      : "cookie: " + std::string(why));
  };
  if (!is_token(cookie.name)) wrong("its name is no token of HTTP");
  if (!is_cookie_value(cookie.value))
    wrong(
        "its value holds a space, quote, comma, semicolon, backslash or other character that is "
        "not allowed: encode it, as base64url for instance");
  if (!cookie.path.empty() && (cookie.path.front() != '/' || !is_cookie_attribute(cookie.path)))
    wrong("its path begins with '/' and holds no ';' and no control character");
  if (!is_cookie_attribute(cookie.domain) || cookie.domain.find(' ') != std::string::npos)
    wrong("its domain is no name of a host");
  if (cookie.same_site == SameSite::kNone && !cookie.secure)
    wrong("browsers take SameSite=None with `secure` only");
  const std::string_view name = cookie.name;
  if (name.starts_with("__Secure-") && !cookie.secure) wrong("this name needs `secure`");
  if (name.starts_with("__Host-") &&
      (!cookie.secure || cookie.path != "/" || !cookie.domain.empty()))
    wrong("this name needs `secure`, the path \"/\" and no domain");
  constexpr std::size_t kMost = 4096;  // what browsers keep
  if (cookie.name.size() + cookie.value.size() > kMost) wrong("it has more than 4096 bytes");
}

// The value of Set-Cookie.
inline std::string set_cookie(const Cookie& cookie) {
  check_cookie(cookie);
  std::string text = cookie.name + "=" + cookie.value;
  if (!cookie.path.empty()) text += "; Path=" + cookie.path;
  if (!cookie.domain.empty()) text += "; Domain=" + cookie.domain;
  if (cookie.max_age) text += "; Max-Age=" + std::to_string(cookie.max_age->count());
  if (cookie.secure) text += "; Secure";
  if (cookie.http_only) text += "; HttpOnly";
  switch (cookie.same_site) {
    case SameSite::kLax:
      return text + "; SameSite=Lax";
    case SameSite::kStrict:
      return text + "; SameSite=Strict";
    case SameSite::kNone:
      return text + "; SameSite=None";
  }
  return text;
}

// The first of that name in the value of a Cookie header, without quotes around it.
inline std::optional<std::string_view> find_cookie(std::string_view cookies,
                                                   std::string_view name) noexcept {
  while (!cookies.empty()) {
    const std::size_t end = cookies.find(';');
    const std::string_view pair = trimmed(cookies.substr(0, end));
    cookies.remove_prefix(end == std::string_view::npos ? cookies.size() : end + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || trimmed(pair.substr(0, equals)) != name) continue;
    std::string_view value = trimmed(pair.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return value;
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace appserver

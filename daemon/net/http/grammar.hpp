// The small pieces of HTTP's grammar (RFC 9110, RFC 9112) that the strict layer checks itself.
// Pure, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace appserver::net::http {

namespace detail {
constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}
inline constexpr std::array<bool, 256> kTokenTable = make_token_table();
}  // namespace detail

constexpr bool is_token_char(char c) { return detail::kTokenTable[static_cast<unsigned char>(c)]; }

// A byte that may stand in a field value: HTAB, printable ASCII, obs-text.
constexpr bool is_value_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

// One or more token characters.
bool is_token(std::string_view text);

// Equal but for the case of ASCII letters. `lower` is in lower case.
bool equals_ignoring_case(std::string_view text, std::string_view lower);

// `text` without spaces and tabs at its ends.
std::string_view trim(std::string_view text);

// Takes the next element of a comma-separated list off `list`, trimmed; nullopt at its end.
// Elements may be empty.
std::optional<std::string_view> next_list_element(std::string_view& list);

// The value of `text` if it is nothing but decimal digits and fits; leading zeros are allowed.
std::optional<std::uint64_t> parse_digits(std::string_view text);

// uri-host [ ":" port ] as a Host field or the authority of an absolute target must have it: not
// empty, no user info, a bracketed address is IPv6, the port is at most 65535.
bool is_authority(std::string_view text);

// A request target split for the plugin. Views into the target, except that `path` is a literal "/"
// for "http://host" without a path.
struct Target {
  std::string_view path;
  std::string_view query;      // without the '?'
  std::string_view authority;  // of absolute-form alone
};

// Splits origin-form ("/a?b"), absolute-form ("http://host/a?b", https too) and "*", which only
// OPTIONS may ask for. nullopt for anything else, for '#', and for bytes that are not visible
// ASCII.
std::optional<Target> split_target(std::string_view method, std::string_view target);

}  // namespace appserver::net::http

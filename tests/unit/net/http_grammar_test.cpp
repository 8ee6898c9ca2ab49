#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "net/http/grammar.hpp"

using namespace appserver::net::http;

TEST_CASE("a comma-separated list gives each element trimmed, empty ones too") {
  const auto elements = [](std::string_view list) {
    std::vector<std::string> found;
    while (const auto element = next_list_element(list)) found.emplace_back(*element);
    return found;
  };
  CHECK(elements("a") == std::vector<std::string>{"a"});
  CHECK(elements(" a ,\tb") == std::vector<std::string>{"a", "b"});
  CHECK(elements("a,,") == std::vector<std::string>{"a", "", ""});
  CHECK(elements("").size() == 1);
}

TEST_CASE("digits are parsed up to the largest 64-bit number and not beyond") {
  CHECK(parse_digits("0") == 0);
  CHECK(parse_digits("18446744073709551615") == 18446744073709551615u);
  CHECK_FALSE(parse_digits("18446744073709551616"));
  CHECK_FALSE(parse_digits("-1"));
  CHECK_FALSE(parse_digits("1 "));
  CHECK_FALSE(parse_digits(""));
}

TEST_CASE("names compare without regard to the case of ASCII letters only") {
  CHECK(equals_ignoring_case("Keep-ALIVE", "keep-alive"));
  CHECK_FALSE(equals_ignoring_case("Keep-ALIVE", "keep-aliv"));
  CHECK_FALSE(equals_ignoring_case("\x5b", "\x7b"));
  CHECK_FALSE(equals_ignoring_case("\x0d", "\x2d"));
}

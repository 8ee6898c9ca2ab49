#include "config/tree.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

std::string repeated(std::string_view text, std::size_t times) {
  std::string result;
  result.reserve(text.size() * times);
  for (std::size_t i = 0; i < times; ++i) result += text;
  return result;
}

}  // namespace

TEST_CASE("a key that stands twice is refused with both places") {
  CHECK(group_problems("    count: 1\n    count: 2\n") ==
        Lines{"app.yaml:5:5: duplicate key 'count'; first at app.yaml:4:5"});
  CHECK(problems_of("groups:\n  a: {plugin: p}\n  a: {plugin: q}\n") ==
        Lines{"app.yaml:3:3: duplicate key 'a'; first at app.yaml:2:3"});
  CHECK(group_problems("    settings:\n      deep: [{x: 1, \"x\": 2}]\n") ==
        Lines{"app.yaml:5:21: duplicate key 'x'; first at app.yaml:5:15"});
}

TEST_CASE("broken YAML is a problem in words, with line and column") {
  CHECK(problems_of("groups:\n\ta: b\n") ==
        Lines{"app.yaml:2:3: not valid YAML: a tab in the indentation; use spaces"});
  CHECK(problems_of("groups: {a: b\n") ==
        Lines{"app.yaml:2:1: not valid YAML: a '{' is not closed by '}' here; quote values in it "
              "that have brackets, as \"${NAME}\""});
  CHECK(problems_of("groups: [a\n") ==
        Lines{"app.yaml:2:1: not valid YAML: a '[' is not closed by ']' here; quote values in it "
              "that have brackets, as \"${NAME}\""});
  CHECK(problems_of("a: 'b\n") == Lines{"app.yaml:1:4: not valid YAML: a quote is not closed"});
  CHECK(problems_of("a:\n  b: 1\n c: 2\n").at(0).find("app.yaml:3:2: not valid YAML: ") == 0);
  CHECK(problems_of("a: *nowhere\n").at(0).find("app.yaml:1:4: not valid YAML: ") == 0);
}

TEST_CASE("merge keys, tags, keys that are no words and second documents are refused") {
  CHECK(group_problems("    <<: {count: 2}\n") ==
        Lines{"app.yaml:4:5: merge keys (<<) are not supported; write the keys out"});
  CHECK(group_problems("    count: !!int 2\n").size() == 1);
  CHECK(group_problems("    settings: !secret x\n") ==
        Lines{"app.yaml:4:15: the tag '!secret' is not supported; leave it out, or quote a value "
              "to make it a "
              "string"});
  CHECK(
      group_problems("    settings: {[a]: b}\n").at(0).find("a key must be a word, not a value") !=
      std::string::npos);
  CHECK(problems_of("groups: {a: {plugin: p}}\n---\nb: c\n").at(0).find("a second YAML document") !=
        std::string::npos);
  CHECK(load_group("    settings: {a: !!str 5, \"<<\": 1}\n").settings == R"({"a":"5","<<":1})");
}

TEST_CASE("an alias is the value that it names, once more") {
  const Config config = load_yaml(
      "groups:\n"
      "  a: {plugin: p, limits: &limits {max_body: 1KiB}, settings: &s {x: [1]}}\n"
      "  b: {plugin: p, limits: *limits, settings: {one: *s, two: *s}}\n");
  CHECK(config.groups.at(1).limits.max_body.value == 1024);
  CHECK(config.groups.at(1).settings == R"({"one":{"x":[1]},"two":{"x":[1]}})");
}

TEST_CASE("an alias cannot hold itself") {
  CHECK(group_problems("    settings: &a [*a]\n").at(0).find("an alias inside the very value") !=
        std::string::npos);
}

TEST_CASE("aliases that multiply are refused") {
  std::string bomb = "    settings:\n      a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "      a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before +
            repeated("," + before, 8) + "]\n";
  }
  REQUIRE(group_problems(bomb).size() == 1);
  CHECK(group_problems(bomb).at(0).find(
            "too large: more than 8 MiB of values once aliases are expanded") != std::string::npos);
  const std::string long_scalar =
      "    settings: [&a " + std::string(500'000, 'x') + repeated(", *a", 1000) + "]\n";
  CHECK(group_problems(long_scalar).at(0).find("too large") != std::string::npos);
}

TEST_CASE("nesting is bounded, whoever builds it") {
  const auto nested = [](std::size_t levels) {
    return "    settings: " + repeated("[", levels) + repeated("]", levels) + "\n";
  };
  CHECK(group_problems(nested(90)).empty());
  CHECK(group_problems(nested(120)).at(0).find("nested deeper than 100 levels") !=
        std::string::npos);
  CHECK(problems_of(repeated("[", 200'000)).size() == 1);
  CHECK(problems_of(repeated("{a: ", 200'000)).size() == 1);
  CHECK(problems_of(repeated("- ", 200'000)).size() == 1);
  CHECK(problems_of(repeated("? ", 200'000)).size() == 1);
  std::string chain =
      "    settings:\n      a0: &a0 " + repeated("[", 50) + repeated("]", 50) + "\n";
  chain += "      a1: " + repeated("[", 60) + "*a0" + repeated("]", 60) + "\n";
  CHECK(group_problems(chain).at(0).find("nested deeper than 100 levels") != std::string::npos);
}

TEST_CASE("a key has a bounded length") {
  CHECK(group_problems("    settings:\n      ? " + std::string(300, 'k') + "\n      : 1\n") ==
        Lines{"app.yaml:5:9: a key longer than 256 bytes"});
}

TEST_CASE("a thousand mistakes are told as the first hundred and a number") {
  std::string text = "groups: {api: {plugin: p}}\n";
  for (int i = 0; i < 1000; ++i) text += "unknown" + std::to_string(i) + ": 1\n";
  const Lines lines = problems_of(text);
  REQUIRE(lines.size() == 101);
  CHECK(lines.back() == "app.yaml: 900 more problems are not shown");
}

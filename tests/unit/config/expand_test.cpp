#include "config/expand.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

const Environment kEnvironment =
    environment_of({{"NAME", "value"}, {"EMPTY", ""}, {"BAD", "\xff"}});

std::string expanded(std::string_view text) { return *expand(text, kEnvironment); }
std::string problem(std::string_view text) { return expand(text, kEnvironment).problem(); }

}  // namespace

TEST_CASE("a variable stands for its value, as often as it is named") {
  CHECK(expanded("${NAME}") == "value");
  CHECK(expanded("a ${NAME} and ${NAME}!") == "a value and value!");
  CHECK(expanded("${EMPTY}").empty());
}

TEST_CASE("a default stands in for a variable that is unset or empty") {
  CHECK(expanded("${NAME:-other}") == "value");
  CHECK(expanded("${UNSET:-other}") == "other");
  CHECK(expanded("${EMPTY:-other}") == "other");
  CHECK(expanded("${UNSET:-}").empty());
}

TEST_CASE("a doubled dollar before a brace is a plain one, and other dollars are themselves") {
  CHECK(expanded("$${NAME}") == "${NAME}");
  CHECK(expanded("$$${NAME}") == "$${NAME}");
  CHECK(expanded("$NAME costs 5$ $$ $") == "$NAME costs 5$ $$ $");
}

TEST_CASE("a value is not expanded again") {
  const Environment environment = environment_of({{"OUTER", "${INNER}"}});
  CHECK(*expand("${OUTER}", environment) == "${INNER}");
}

TEST_CASE("what cannot be expanded says why and what to write") {
  CHECK(problem("${UNSET}") ==
        "${UNSET} is not set in the environment; set it, or write ${UNSET:-default}");
  CHECK(problem("${NAME") == "'${NAME' is not closed; add '}', or write $${ for a plain ${");
  CHECK(problem("${}") ==
        "'${}' is no variable; write ${NAME}, ${NAME:-default}, or $${ for a plain ${");
  CHECK_FALSE(problem("${1ST}").empty());
  CHECK_FALSE(problem("${A B}").empty());
  CHECK(problem("${BAD}") == "the value of ${BAD} is not UTF-8");
}

TEST_CASE("an expansion is bounded") {
  const Environment big = environment_of({{"BIG", std::string(100'000, 'x')}});
  std::string text;
  for (int i = 0; i < 100; ++i) text += "${BIG}";
  CHECK(expand(text, big).problem() == "larger than 1 MiB once its variables are expanded");
}

TEST_CASE("variables are expanded in values of every style, and not in keys") {
  const Group group = load_yaml(
                          "groups:\n  api:\n    plugin: '${P}'\n    count: ${N}\n    settings: "
                          "{'${K}': \"${P}\"}\n",
                          {{"P", "hello"}, {"N", "7"}})
                          .groups.at(0);
  CHECK(group.plugin == "/srv/plugins/hello.so");
  CHECK(group.count == 7);
  CHECK(group.settings == R"({"${K}":"hello"})");
}

TEST_CASE("a variable cannot bring structure with it") {
  const Group group =
      load_yaml(
          "groups:\n  api:\n    plugin: hello\n    settings:\n      a: ${X}\n      b: \"${X}\"\n",
          {{"X", "1\nuser: root"}})
          .groups.at(0);
  CHECK(group.settings == R"({"a":"1\nuser: root","b":"1\nuser: root"})");
  CHECK(group.user.empty());
}

TEST_CASE("an unquoted value has the type of what it expands to") {
  const Group group = load_yaml(
                          "groups:\n  api:\n    plugin: hello\n    settings:\n      - ${N}\n      "
                          "- '${N}'\n      - ${B}\n      - ${E}\n",
                          {{"N", "8080"}, {"B", "true"}, {"E", ""}})
                          .groups.at(0);
  CHECK(group.settings == R"([8080,"8080",true,null])");
}

TEST_CASE("an unset variable is one problem, at its place") {
  CHECK(group_problems("    count: ${UNSET}\n    nice: ${ALSO}\n") ==
        Lines{"app.yaml:4:12: ${UNSET} is not set in the environment; set it, or write "
              "${UNSET:-default}",
              "app.yaml:5:11: ${ALSO} is not set in the environment; set it, or write "
              "${ALSO:-default}"});
}

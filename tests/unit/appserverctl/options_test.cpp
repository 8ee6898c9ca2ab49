#include "appserverctl/options.hpp"

#include <catch2/catch.hpp>

using namespace appserver::appserverctl;

TEST_CASE("options may stand before and after the verb") {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--socket", "/x", "--timeout", "5m", "reload", "a", "b", "--json"},
           {"reload", "--json", "a", "--timeout=5m", "b", "--socket=/x"}}) {
    const Options options = parse_options(arguments);
    REQUIRE(options.verb == "reload");
    REQUIRE(options.names == std::vector<std::string>{"a", "b"});
    REQUIRE(options.socket == "/x");
    REQUIRE(options.timeout == std::chrono::minutes(5));
    REQUIRE(options.json);
    REQUIRE_FALSE(options.force);
  }
}

TEST_CASE("help and version are verbs and options") {
  REQUIRE(parse_options({"help", "reload"}).verb == "help");
  REQUIRE(parse_options({"-h"}).verb == "help");
  REQUIRE(parse_options({"status", "--help"}).verb == "help");
  REQUIRE(parse_options({"--version"}).verb == "version");
}

TEST_CASE("what is misspelt is met with what was meant") {
  REQUIRE_THROWS_WITH(parse_options({"relaod"}), "unknown verb 'relaod'; did you mean 'reload'?");
  REQUIRE_THROWS_WITH(parse_options({"reload", "--jsno"}),
                      "unknown option --jsno; did you mean 'json'?");
  REQUIRE_THROWS_WITH(parse_options({}), "a verb is missing");
}

TEST_CASE("an option that the verb does not take is refused rather than ignored") {
  REQUIRE_THROWS_WITH(parse_options({"status", "--force"}),
                      "status takes no --force; it goes with reload");
  REQUIRE_THROWS_WITH(parse_options({"reload", "--fast"}),
                      "reload takes no --fast; it goes with stop");
  REQUIRE_THROWS_AS(parse_options({"check", "x.yaml", "--timeout", "1s"}), UsageError);
}

TEST_CASE("the number of names must fit the verb") {
  REQUIRE_THROWS_WITH(parse_options({"restart"}),
                      "restart needs a name; usage: appserverctl restart GROUP");
  REQUIRE_THROWS_AS(parse_options({"restart", "a", "b"}), UsageError);
  REQUIRE_THROWS_AS(parse_options({"stop", "now"}), UsageError);
  REQUIRE_THROWS_AS(parse_options({"check"}), UsageError);
  REQUIRE_THROWS_AS(parse_options({"reload", "--force"}), UsageError);
  REQUIRE(parse_options({"reload", "--force", "api"}).force);
}

TEST_CASE("a bad timeout is refused") {
  for (const char* text : {"", "5", "-1s", "0", "1 fortnight"}) {
    REQUIRE_THROWS_AS(parse_options({"stop", "--timeout", text}), UsageError);
  }
  REQUIRE_THROWS_AS(parse_options({"stop", "--timeout"}), UsageError);
}

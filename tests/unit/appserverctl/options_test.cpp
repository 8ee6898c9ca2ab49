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
  REQUIRE_THROWS_WITH(parse_options({"status", "-j"}), Catch::StartsWith("unknown option -j;"));
  REQUIRE_THROWS_WITH(parse_options({}), "a verb is missing");
}

TEST_CASE("an option that the verb does not take is refused rather than ignored") {
  REQUIRE_THROWS_WITH(parse_options({"status", "--force"}),
                      "status takes no --force; it goes with reload");
  REQUIRE_THROWS_WITH(parse_options({"reload", "--fast"}),
                      "reload takes no --fast; it goes with stop");
  REQUIRE_THROWS_WITH(parse_options({"check", "x.yaml", "--timeout", "1s"}),
                      "check takes no --timeout");
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

TEST_CASE("an empty name, as of a variable that is not set, is refused") {
  for (const char* verb : {"status", "reload", "rollback", "restart", "drain", "check"}) {
    REQUIRE_THROWS_WITH(parse_options({verb, ""}),
                        Catch::StartsWith(std::string(verb) + " is given an empty name; usage: "));
  }
  REQUIRE_THROWS_WITH(parse_options({"scale", "", "3"}), Catch::Contains("empty name"));
}

TEST_CASE("a reload's options become what they say") {
  const Options options = parse_options({"reload", "api", "--changed", "--dry-run", "--canary", "2",
                                         "--hold", "30s", "--confirm-within=5m"});
  REQUIRE(options.changed);
  REQUIRE(options.dry_run);
  REQUIRE(options.canary == 2);
  REQUIRE(options.hold == std::chrono::seconds(30));
  REQUIRE(options.confirm_within == std::chrono::minutes(5));
  REQUIRE_FALSE(options.no_wait);
  REQUIRE(parse_options({"reload", "--no-wait"}).no_wait);
}

TEST_CASE("numbers and times that the daemon would not take are refused here, with the bounds") {
  for (const char* count : {"", "0", "1025", "-1", "x", "1.5"}) {
    CAPTURE(count);
    REQUIRE_THROWS_AS(parse_options({"reload", std::string("--canary=") + count}), UsageError);
    REQUIRE_THROWS_AS(parse_options({"scale", "api", count}), UsageError);
  }
  REQUIRE_THROWS_WITH(parse_options({"scale", "api", "many"}),
                      "scale: expected a number from 1 to 1024, got 'many'");
  REQUIRE_THROWS_WITH(parse_options({"reload", "--hold", "8d"}), "--hold: at most 7d");
  REQUIRE_THROWS_WITH(parse_options({"reload", "--confirm-within", "169h"}),
                      "--confirm-within: at most 7d");
  REQUIRE_THROWS_AS(parse_options({"reload", "--hold", "0"}), UsageError);
  REQUIRE_THROWS_AS(parse_options({"rollback", "--to", "0"}), UsageError);
  REQUIRE(parse_options({"rollback", "api", "--to", "41"}).number == 41u);
}

TEST_CASE("the words that steer a rollout are the verb's, not the names of groups") {
  for (const std::string word : {"status", "watch", "abort", "continue", "confirm"}) {
    const Options options = parse_options({"reload", word, "--json"});
    REQUIRE(options.verb == "reload " + word);
    REQUIRE(options.names.empty());
    REQUIRE(options.json);
    REQUIRE_THROWS_AS(parse_options({"reload", word, "api"}), UsageError);
  }
  REQUIRE(parse_options({"reload", "api", "status"}).names ==
          std::vector<std::string>{"api", "status"});
  REQUIRE_THROWS_WITH(parse_options({"reload", "abort", "--force"}),
                      "reload abort takes no --force; it goes with reload");
}

TEST_CASE("a worker is named by its group and slot") {
  const Options options = parse_options({"drain", "api/3"});
  REQUIRE(options.names == std::vector<std::string>{"api"});
  REQUIRE(options.slot == 3);
  REQUIRE_THROWS_WITH(parse_options({"drain", "api"}),
                      "drain needs a worker as GROUP/SLOT, such as api/0, as `appserverctl status` "
                      "shows them; not 'api'");
  REQUIRE_THROWS_AS(parse_options({"drain", "/3"}), UsageError);
  REQUIRE_THROWS_WITH(parse_options({"drain", "api/"}), Catch::Contains("GROUP/SLOT"));
  REQUIRE_THROWS_AS(parse_options({"drain", "api/x"}), UsageError);
  REQUIRE_THROWS_AS(parse_options({"drain", "api/1024"}), UsageError);
  REQUIRE_THROWS_AS(parse_options({"drain"}), UsageError);
}

TEST_CASE("a group and its new number of workers go together") {
  const Options options = parse_options({"scale", "api", "4"});
  REQUIRE(options.names == std::vector<std::string>{"api"});
  REQUIRE(options.count == 4);
  REQUIRE_THROWS_WITH(parse_options({"scale", "api"}),
                      "scale needs GROUP N; usage: appserverctl scale GROUP N");
}

TEST_CASE("one crash may be named by its number") {
  REQUIRE(parse_options({"crashes"}).verb == "crashes");
  REQUIRE(parse_options({"crashes", "show"}).verb == "crashes show");
  REQUIRE_FALSE(parse_options({"crashes", "show"}).number);
  REQUIRE(parse_options({"crashes", "show", "18"}).number == 18u);
  REQUIRE_THROWS_AS(parse_options({"crashes", "show", "last"}), UsageError);
  REQUIRE_THROWS_WITH(
      parse_options({"crashes", "18"}),
      "crashes does not take that many names; usage: appserverctl crashes [show [N]]");
}

TEST_CASE("a plan that nobody waits for is refused") {
  REQUIRE_THROWS_AS(parse_options({"reload", "--dry-run", "--no-wait"}), UsageError);
}

TEST_CASE("a bad timeout is refused") {
  for (const char* text : {"", "5", "-1s", "0", "1 fortnight"}) {
    REQUIRE_THROWS_AS(parse_options({"stop", "--timeout", text}), UsageError);
  }
  REQUIRE_THROWS_AS(parse_options({"stop", "--timeout"}), UsageError);
}

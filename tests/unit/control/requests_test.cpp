#include "control/requests.hpp"

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "control/api.hpp"

using namespace appserver::control;

TEST_CASE("requests survive the way through JSON") {
  const ReloadRequest reload{{"api", "admin"}, true};
  REQUIRE(parse_reload(boost::json::serialize(to_json(reload))) == reload);
  REQUIRE(parse_restart(boost::json::serialize(to_json(RestartRequest{"api"}))) ==
          RestartRequest{"api"});
  REQUIRE(parse_stop(boost::json::serialize(to_json(StopRequest{true}))) == StopRequest{true});
}

TEST_CASE("an empty body asks for everything by default") {
  REQUIRE(parse_reload("") == ReloadRequest{});
  REQUIRE(parse_stop("{}") == StopRequest{});
}

TEST_CASE("a misspelt key is refused rather than ignored") {
  REQUIRE_THROWS_WITH(parse_reload(R"({"forse":true})"),
                      "forse: unknown key; known: groups, force");
  REQUIRE_THROWS_AS(parse_stop(R"({"fast":1})"), BadJson);
  REQUIRE_THROWS_AS(parse_reload(R"({"groups":"api"})"), BadJson);
  REQUIRE_THROWS_AS(parse_restart("{}"), BadJson);
  REQUIRE_THROWS_AS(parse_restart(R"({"group":""})"), BadJson);
}

#include "control/requests.hpp"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "control/api.hpp"

using namespace appserver::control;

TEST_CASE("requests survive the way through JSON") {
  ReloadRequest reload{{"api", "admin"}, true, true, true};
  REQUIRE(parse_reload(boost::json::serialize(to_json(reload))) == reload);
  reload.canary = 1;
  reload.hold = std::chrono::seconds(30);
  reload.confirm_within = std::chrono::minutes(5);
  REQUIRE(parse_reload(boost::json::serialize(to_json(reload))) == reload);
  REQUIRE(parse_restart(boost::json::serialize(to_json(RestartRequest{"api"}))) ==
          RestartRequest{"api"});
  for (const RollbackRequest& rollback : {RollbackRequest{}, RollbackRequest{41, "api", true}}) {
    REQUIRE(parse_rollback(boost::json::serialize(to_json(rollback))) == rollback);
  }
  REQUIRE(parse_scale(boost::json::serialize(to_json(ScaleRequest{"api", 4}))) ==
          ScaleRequest{"api", 4});
  REQUIRE(parse_drain(boost::json::serialize(to_json(DrainRequest{"api", 3}))) ==
          DrainRequest{"api", 3});
  REQUIRE(parse_stop(boost::json::serialize(to_json(StopRequest{true}))) == StopRequest{true});
}

TEST_CASE("an empty body asks for everything by default") {
  REQUIRE(parse_reload("") == ReloadRequest{});
  REQUIRE(parse_reload(R"({"canary":null,"hold_ms":null,"groups":null})") == ReloadRequest{});
  REQUIRE(parse_rollback("") == RollbackRequest{});
  REQUIRE(parse_stop("{}") == StopRequest{});
  REQUIRE_NOTHROW(parse_nothing(""));
  REQUIRE_NOTHROW(parse_nothing("{}"));
}

TEST_CASE("the times of a reload are in milliseconds") {
  const ReloadRequest request =
      parse_reload(R"({"canary":2,"hold_ms":30000,"confirm_within_ms":604800000})");
  REQUIRE(request.canary == 2);
  REQUIRE(request.hold == std::chrono::seconds(30));
  REQUIRE(request.confirm_within == std::chrono::days(7));
}

TEST_CASE("numbers out of their bounds are refused, with the bounds") {
  for (const char* count : {"0", "1025", "4294967297", "-1", "1.5", "\"2\""}) {
    CAPTURE(count);
    REQUIRE_THROWS_AS(parse_reload(fmt::format(R"({{"canary":{}}})", count)), BadJson);
    REQUIRE_THROWS_AS(parse_scale(fmt::format(R"({{"group":"api","count":{}}})", count)), BadJson);
  }
  REQUIRE(parse_scale(R"({"group":"api","count":1024})").count == 1024);
  REQUIRE_THROWS_WITH(parse_scale(R"({"group":"api","count":1025})"), "count: expected 1 to 1024");
  REQUIRE_THROWS_WITH(parse_scale(R"({"group":"api"})"), "count: missing");
  for (const char* wait : {"0", "604800001", "-1", "18446744073709551615"}) {
    CAPTURE(wait);
    REQUIRE_THROWS_AS(parse_reload(fmt::format(R"({{"hold_ms":{}}})", wait)), BadJson);
    REQUIRE_THROWS_AS(parse_reload(fmt::format(R"({{"confirm_within_ms":{}}})", wait)), BadJson);
  }
  REQUIRE_THROWS_WITH(parse_reload(R"({"hold_ms":0})"),
                      "hold_ms: expected 1 to 604800000, which is 7 days");
  REQUIRE_THROWS_WITH(parse_rollback(R"({"to":0})"), "to: the first release is 1");
  REQUIRE_THROWS_AS(parse_drain(R"({"group":"api","slot":4294967296})"), BadJson);
}

TEST_CASE("a misspelt key is refused rather than ignored") {
  REQUIRE_THROWS_WITH(
      parse_reload(R"({"forse":true})"),
      "forse: unknown key; known: groups, force, changed, dry_run, canary, hold_ms, "
      "confirm_within_ms");
  REQUIRE_THROWS_AS(parse_stop(R"({"fast":1})"), BadJson);
  REQUIRE_THROWS_AS(parse_reload(R"({"groups":"api"})"), BadJson);
  REQUIRE_THROWS_AS(parse_rollback(R"({"release":41})"), BadJson);
  REQUIRE_THROWS_AS(parse_rollback(R"({"group":""})"), BadJson);
  REQUIRE_THROWS_AS(parse_scale(R"({"group":"","count":1})"), BadJson);
  REQUIRE_THROWS_AS(parse_scale(R"({"group":"api","count":1,"force":true})"), BadJson);
  REQUIRE_THROWS_AS(parse_drain(R"({"slot":1})"), BadJson);
  REQUIRE_THROWS_AS(parse_drain(R"({"group":"api","slots":1})"), BadJson);
  REQUIRE_THROWS_WITH(parse_nothing(R"({"force":true})"), "force: unknown key; known: none");
  REQUIRE_THROWS_AS(parse_restart("{}"), BadJson);
  REQUIRE_THROWS_AS(parse_restart(R"({"group":""})"), BadJson);
}

#include "control/routes.hpp"

#include <catch2/catch.hpp>

using namespace appserver::control;

namespace {

unsigned refusal(std::string_view method, std::string_view target, bool may_operate = true) {
  const auto route = find_route(method, target, may_operate, 1000);
  const auto* found = std::get_if<Refusal>(&route);
  return found == nullptr ? 200 : found->http_status;
}

}  // namespace

TEST_CASE("each command has its path and method") {
  REQUIRE(std::get<Verb>(find_route("GET", "/v1/status", false, 1000)) == Verb::status);
  REQUIRE(std::get<Verb>(find_route("GET", "/v1/version?x=1", false, 1000)) == Verb::version);
  REQUIRE(std::get<Verb>(find_route("POST", "/v1/reload", true, 0)) == Verb::reload);
  REQUIRE(std::get<Verb>(find_route("POST", "/v1/restart", true, 0)) == Verb::restart);
  REQUIRE(std::get<Verb>(find_route("POST", "/v1/stop", true, 0)) == Verb::stop);
}

TEST_CASE("who may not operate may only look") {
  for (const char* target : {"/v1/reload", "/v1/restart", "/v1/stop"}) {
    REQUIRE(refusal("POST", target, false) == 403);
  }
  REQUIRE(refusal("GET", "/v1/status", false) == 200);
}

TEST_CASE("a wrong method names the right one, and a wrong path the paths there are") {
  const auto route = find_route("GET", "/v1/reload", true, 0);
  REQUIRE(std::get<Refusal>(route).http_status == 405);
  REQUIRE(std::get<Refusal>(route).allow == "POST");
  REQUIRE(refusal("POST", "/v1/status") == 405);
  REQUIRE(refusal("GET", "/") == 404);
  REQUIRE(refusal("GET", "/v1/status/") == 404);
}

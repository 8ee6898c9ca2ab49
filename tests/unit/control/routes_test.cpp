#include "control/routes.hpp"

#include <catch2/catch.hpp>

using namespace appserver::control;

namespace {

unsigned refusal(std::string_view method, std::string_view target, bool may_operate = true) {
  const auto route = find_route(method, target, may_operate, 1000);
  const auto* found = std::get_if<Refusal>(&route);
  return found == nullptr ? 200 : found->http_status;
}

Verb verb_of(std::string_view method, std::string_view target) {
  return std::get<Order>(find_route(method, target, true, 0)).verb;
}

}  // namespace

TEST_CASE("each command has its path and method") {
  REQUIRE(verb_of("GET", "/v1/status") == Verb::status);
  REQUIRE(verb_of("GET", "/v1/version?x=1") == Verb::version);
  REQUIRE(verb_of("GET", "/v1/rollout") == Verb::rollout);
  REQUIRE(verb_of("GET", "/v1/rollout/events") == Verb::events);
  REQUIRE(verb_of("GET", "/v1/history") == Verb::history);
  REQUIRE(verb_of("GET", "/v1/crashes") == Verb::crashes);
  REQUIRE(verb_of("POST", "/v1/reload") == Verb::reload);
  REQUIRE(verb_of("POST", "/v1/restart") == Verb::restart);
  REQUIRE(verb_of("POST", "/v1/rollback") == Verb::rollback);
  REQUIRE(verb_of("POST", "/v1/scale") == Verb::scale);
  REQUIRE(verb_of("POST", "/v1/drain") == Verb::drain);
  REQUIRE(verb_of("POST", "/v1/rollout/abort") == Verb::abort);
  REQUIRE(verb_of("POST", "/v1/rollout/proceed") == Verb::proceed);
  REQUIRE(verb_of("POST", "/v1/rollout/confirm") == Verb::confirm);
  REQUIRE(verb_of("POST", "/v1/gateway") == Verb::gateway);
  REQUIRE(verb_of("POST", "/v1/stop") == Verb::stop);
}

TEST_CASE("a crash is named by its number, and by nothing else") {
  const auto route = find_route("GET", "/v1/crashes/18?x=1", true, 0);
  REQUIRE(std::get<Order>(route).verb == Verb::crash);
  REQUIRE(std::get<Order>(route).number == 18);
  for (const char* target : {"/v1/crashes/", "/v1/crashes/x", "/v1/crashes/1x", "/v1/crashes/-1",
                             "/v1/crashes/18446744073709551616", "/v1/crashes/1/2"}) {
    CAPTURE(target);
    REQUIRE(refusal("GET", target) == 404);
  }
  REQUIRE(refusal("POST", "/v1/crashes/18") == 405);
}

TEST_CASE("who may not operate may only look") {
  for (const char* target :
       {"/v1/reload", "/v1/restart", "/v1/rollback", "/v1/scale", "/v1/drain", "/v1/rollout/abort",
        "/v1/rollout/proceed", "/v1/rollout/confirm", "/v1/stop"}) {
    REQUIRE(refusal("POST", target, false) == 403);
  }
  for (const char* target : {"/v1/status", "/v1/version", "/v1/rollout", "/v1/rollout/events",
                             "/v1/history", "/v1/crashes"}) {
    REQUIRE(refusal("GET", target, false) == 200);
  }
}

TEST_CASE("whether somebody may push to the clients of a gateway is for the configuration to say") {
  REQUIRE(refusal("POST", "/v1/gateway", false) == 200);
  REQUIRE(refusal("GET", "/v1/gateway") == 405);
}

TEST_CASE("a wrong method names the right one, and a wrong path the paths there are") {
  const auto route = find_route("GET", "/v1/reload", true, 0);
  REQUIRE(std::get<Refusal>(route).http_status == 405);
  REQUIRE(std::get<Refusal>(route).allow == "POST");
  REQUIRE(refusal("POST", "/v1/status") == 405);
  REQUIRE(refusal("GET", "/") == 404);
  REQUIRE(refusal("GET", "/v1/status/") == 404);
}

TEST_CASE("what a plugin has printed before its crash is for operators only") {
  REQUIRE(std::get<Refusal>(find_route("GET", "/v1/crashes/1", false, 1000)).http_status == 403);
  REQUIRE(std::holds_alternative<Order>(find_route("GET", "/v1/crashes/1", true, 0)));
}

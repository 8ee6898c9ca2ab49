#include "control/routes.hpp"

#include <fmt/format.h>

namespace appserver::control {

namespace {

struct Route {
  std::string_view method;
  std::string_view path;
  Verb verb;
  bool operate;
};

constexpr Route kRoutes[] = {
    {"GET", "/v1/status", Verb::status, false}, {"GET", "/v1/version", Verb::version, false},
    {"POST", "/v1/reload", Verb::reload, true}, {"POST", "/v1/restart", Verb::restart, true},
    {"POST", "/v1/stop", Verb::stop, true},
};

}  // namespace

std::variant<Verb, Refusal> find_route(std::string_view method, std::string_view target,
                                       bool may_operate, unsigned uid) {
  const std::string_view path = target.substr(0, target.find('?'));
  for (const Route& route : kRoutes) {
    if (route.path != path) continue;
    if (route.method != method) {
      return Refusal{405,
                     {fmt::format("{} is not for this method", route.path),
                      fmt::format("use {} {}", route.method, route.path)},
                     route.method};
    }
    if (route.operate && !may_operate) {
      return Refusal{403,
                     {fmt::format("uid {} may look but not change anything", uid),
                      "run it as root or as the user that appserverd runs as"},
                     {}};
    }
    return route.verb;
  }
  return Refusal{
      404,
      {"no such command",
       "GET /v1/status, GET /v1/version, POST /v1/reload, POST /v1/restart, POST /v1/stop"},
      {}};
}

}  // namespace appserver::control

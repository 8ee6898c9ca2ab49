#include "control/routes.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string>

namespace appserver::control {

namespace {

// Who may only look may GET, but not a plugin's own last words.
struct Route {
  std::string_view method;
  std::string_view path;  // a final N stands for a number
  Verb verb;
};

constexpr std::array kRoutes{
    Route{"GET", "/v1/status", Verb::status},
    Route{"GET", "/v1/version", Verb::version},
    Route{"GET", "/v1/rollout", Verb::rollout},
    Route{"GET", "/v1/rollout/events", Verb::events},
    Route{"GET", "/v1/history", Verb::history},
    Route{"GET", "/v1/crashes", Verb::crashes},
    Route{"GET", "/v1/crashes/N", Verb::crash},
    Route{"POST", "/v1/reload", Verb::reload},
    Route{"POST", "/v1/restart", Verb::restart},
    Route{"POST", "/v1/rollback", Verb::rollback},
    Route{"POST", "/v1/scale", Verb::scale},
    Route{"POST", "/v1/drain", Verb::drain},
    Route{"POST", "/v1/rollout/abort", Verb::abort},
    Route{"POST", "/v1/rollout/proceed", Verb::proceed},
    Route{"POST", "/v1/rollout/confirm", Verb::confirm},
    Route{"POST", "/v1/gateway", Verb::gateway},
    Route{"POST", "/v1/stop", Verb::stop},
};

bool matches(const Route& route, std::string_view path, std::uint64_t& number) {
  if (!route.path.ends_with("/N")) return route.path == path;
  const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
  if (!path.starts_with(prefix)) return false;
  path.remove_prefix(prefix.size());
  const char* const end = path.data() + path.size();
  const auto [stop, error] = std::from_chars(path.data(), end, number);
  return error == std::errc() && stop == end;
}

std::string all_routes() {
  std::string text;
  for (const Route& route : kRoutes) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", route.method, route.path);
  }
  return text;
}

}  // namespace

std::variant<Order, Refusal> find_route(std::string_view method, std::string_view target,
                                        bool may_operate, unsigned uid) {
  const std::string_view path = target.substr(0, target.find('?'));
  for (const Route& route : kRoutes) {
    std::uint64_t number = 0;
    if (!matches(route, path, number)) continue;
    if (route.method != method) {
      return Refusal{405,
                     {fmt::format("{} is not for this method", route.path),
                      fmt::format("use {} {}", route.method, route.path)},
                     route.method};
    }
    // Of a gateway's, the configuration says more.
    const bool for_operators =
        (route.method != "GET" && route.verb != Verb::gateway) || route.verb == Verb::crash;
    if (for_operators && !may_operate) {
      const auto* may = route.method != "GET" ? "look but not change anything"
                                              : "not see what a plugin has printed";
      return Refusal{403,
                     {fmt::format("uid {} may {}", uid, may),
                      "run it as root or as the user that appserverd runs as"},
                     {}};
    }
    return Order{route.verb, number};
  }
  return Refusal{404, {"no such command", all_routes()}, {}};
}

}  // namespace appserver::control

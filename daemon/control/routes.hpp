// Which command a method and a target mean, and whether the caller may give it. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "control/api.hpp"

namespace appserver::control {

enum class Verb {
  status,
  version,
  rollout,
  events,  // of the rollout
  history,
  crashes,
  crash,
  reload,
  restart,
  rollback,
  scale,
  drain,
  abort,
  proceed,
  confirm,
  gateway,
  stop
};

struct Order {
  Verb verb = Verb::status;
  std::uint64_t number = 0;  // of the crash
};

struct Refusal {
  unsigned http_status = 0;
  ErrorReply reply;
  std::string_view allow;  // the method that would do, with 405
};

// `target` as in the request line; a query is ignored.
std::variant<Order, Refusal> find_route(std::string_view method, std::string_view target,
                                        bool may_operate, unsigned uid);

}  // namespace appserver::control

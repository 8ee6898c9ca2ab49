// The steps of a rollout as lines. Pure.
#pragma once

#include <string>
#include <string_view>

#include "control/api.hpp"

namespace appserver::appserverctl {

// "+0.31s hello/0 ready pid 123 build 7be2d44", without a newline. For the last event "done: ..."
// or "FAILED: ...".
std::string print_event(const control::RolloutEvent& event);

// What happens, without when and where: "ready pid 4713".
std::string print_step(const control::RolloutEvent& event);

// "ROLLED BACK, the old build serves: TEXT"; without a text the result says more itself.
std::string print_verdict(control::RolloutResult result, std::string_view text);

}  // namespace appserver::appserverctl

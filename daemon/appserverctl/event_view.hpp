// The steps of a rollout as lines. Pure.
#pragma once

#include <string>

#include "control/api.hpp"

namespace appserver::appserverctl {

// "+0.31s hello/0 ready pid 123 build 7be2d44", without a newline. For the last event "done: ..."
// or "FAILED: ...".
std::string print_event(const control::RolloutEvent& event);

}  // namespace appserver::appserverctl

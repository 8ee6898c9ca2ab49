// A rollout's state as people read it. Pure.
#pragma once

#include <string>

#include "control/api.hpp"

namespace appserver::appserverctl {

// "rollout r-12 holding, 1/4 slots, 12s left: the canary api/0 is watched", without a newline.
std::string print_rollout_line(const control::RolloutStatus& rollout);

// The line, who asked for what, how long it takes, and what a person can do about it.
std::string print_rollout(const control::RolloutStatus& rollout);

}  // namespace appserver::appserverctl

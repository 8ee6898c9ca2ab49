// A status as people read it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "control/api.hpp"

namespace appserver::appserverctl {

// The daemon's line, that of its bus once there is one, that of a rollout under way, the tables of
// groups and of their workers, and what a person should know.
std::string print_status(const control::Status& status);

// A build's sha256 as it is shown: its first 7 digits.
std::string short_build(std::string_view sha256);

}  // namespace appserver::appserverctl

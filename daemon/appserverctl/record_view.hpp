// Releases and crashes as people read them, with their times in the local zone. Pure but for the
// zone.
#pragma once

#include <string>
#include <vector>

#include "control/api.hpp"

namespace appserver::appserverctl {

std::string print_history(const std::vector<control::ReleaseSummary>& releases);

// One line each.
std::string print_crashes(const std::vector<control::CrashRecord>& crashes);

// All of one.
std::string print_crash(const control::CrashRecord& crash);

}  // namespace appserver::appserverctl

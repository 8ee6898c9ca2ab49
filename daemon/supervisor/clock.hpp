// The clock of everything that the supervisor waits for.
#pragma once

#include <chrono>

#include "supervisor/restart_policy.hpp"

namespace appserver::supervisor {

inline Time now() { return std::chrono::steady_clock::now(); }

}  // namespace appserver::supervisor

// The clock of links, routes and answers.
#pragma once

#include "gateway/router.hpp"

namespace appserver::gateway {

inline Time now() { return std::chrono::steady_clock::now(); }

}  // namespace appserver::gateway

// What the terminal can show.
#pragma once

#include <cstddef>

#include "appserverctl/run.hpp"

namespace appserver::appserverctl {

// Whether the descriptor is a terminal whose cursor can be moved (TERM is set and not "dumb").
bool is_terminal(int fd, const Environment& environment);

// $COLUMNS, else the width that the terminal at the descriptor tells, else 80.
std::size_t columns_of(int fd, const Environment& environment);

}  // namespace appserver::appserverctl

// ${VAR} in values. It runs after YAML was parsed, so a variable cannot bring structure with it.
#pragma once

#include <string>
#include <string_view>

#include "config/load.hpp"
#include "config/values.hpp"

namespace appserver::config {

// ${NAME} is the variable, a problem where it is not set; ${NAME:-text} is `text` where it is not
// set or empty (text ends at the first '}'); $${ is a plain "${". Any other '$' stays as it is.
// The result is UTF-8 of at most 1 MiB.
Parsed<std::string> expand(std::string_view text, const Environment& environment);

}  // namespace appserver::config

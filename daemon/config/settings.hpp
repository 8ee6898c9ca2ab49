// The `settings:` subtree of a group as JSON.
#pragma once

#include <string>

#include "config/section.hpp"

namespace appserver::config {

// Scalars are typed by the core schema of YAML 1.2: unquoted integers (also 0x and 0o), floats,
// true and false, and null; all others are strings. The order of keys is kept. No settings at all
// are
// "{}". What JSON cannot hold (.inf, .nan, integers beyond 64 bits) is a problem.
std::string settings_json(const Scope& scope, const Node& node, const std::string& path);

}  // namespace appserver::config

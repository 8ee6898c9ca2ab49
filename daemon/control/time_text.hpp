// Points in time as the text of the control API. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace appserver::control {

// "2026-11-22T14:03:07Z": UTC, whole seconds.
std::string time_text(std::chrono::system_clock::time_point time);

// Exactly such a text, of a year that a time_point can hold; nullopt for anything else.
std::optional<std::chrono::system_clock::time_point> parse_time(std::string_view text);

}  // namespace appserver::control

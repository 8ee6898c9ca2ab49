// Bytes as base64 (RFC 4648 §4), with padding and without line breaks. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace appserver::control {

std::string to_base64(std::string_view bytes);

// Nullopt for what to_base64 does not give.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace appserver::control

// Texts that cross the boundary.
#pragma once

#include <appserver/abi.h>

#include <string_view>

namespace appserver::worker {

inline appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace appserver::worker

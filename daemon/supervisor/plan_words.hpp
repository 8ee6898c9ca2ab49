// A plan in the words of the history.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "supervisor/prepare.hpp"

namespace appserver::supervisor {

// A build as people are told of it.
std::string short_sha(const plugin::Build& build);

// Of a group that is gone from the file or the plugin folder and runs on all the same, since nobody
// is known to have taken it away: an empty folder may be one that is not mounted.
std::string note_of_missing(const GroupRelease& group);

// "hello bc766bc -> 57ac3f0, -jobs"; `back_to` is the release that is gone back to, 0 without one.
std::string describe(const PrepareRequest& request, const std::vector<GroupPlan>& plan,
                     std::uint64_t back_to);

}  // namespace appserver::supervisor

// Releases of whose end the history does not tell, for the daemon ended before it could be written.
#pragma once

#include <string>

#include "supervisor/archive.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

// Gives them their end, and the ones that must not come again are no way back any more: what a
// restart has taken back, what was not committed and so never ran to its end, and what `committed`,
// the release that is in force, has taken back. Call it only before a rollout enters a release.
//
// Gives what could not be written, for people; empty: all of it was.
std::string settle_unfinished(const Release& committed, Archive& archive);

}  // namespace appserver::supervisor

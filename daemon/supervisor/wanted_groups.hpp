// What the groups are to be after a rollout, before anybody has asked whether that can be: from the
// file, from the record of a release, or as they are with another number of workers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "supervisor/archive.hpp"
#include "supervisor/prepare.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

// What is said of a group that is not wanted because nothing, or nothing good, is known of it.
struct Unread {
  std::string name;
  std::string note;
};

struct WantedGroups {
  // In order. Those from the file have no build yet; `number` is that of a release before, or 0.
  std::vector<GroupRelease> groups;
  std::string refusal;           // a line each for what a running daemon cannot do; empty: nothing
  std::string asked_for;         // fingerprint of the configuration
  std::uint64_t back_to = 0;     // the release that a rollback takes groups from
  std::vector<Unread> mistakes;  // dropped with a mistake; such a group need not run
  std::vector<Unread> kept_dropped;  // what runs and was dropped, but is not to end for now
};

// Throws std::exception, with the way out, where there is nothing to go by.
WantedGroups find_wanted_groups(const PrepareRequest& request, const Archive& archive);

// The part of it that takes a release back.
WantedGroups groups_from_record(const PrepareRequest& request, const Archive& archive);

// Names that are asked about, but neither run nor are among `wanted`: a line each; empty: none.
std::string unknown_names(const PrepareRequest& request, const std::vector<GroupRelease>& wanted);

// Starts a new line where there is one already.
void add_line(std::string& text, const std::string& line);

}  // namespace appserver::supervisor

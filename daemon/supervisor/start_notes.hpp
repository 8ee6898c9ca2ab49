// How what runs when the daemon starts differs from what lies on disk, in notes for the log and the
// status, each beginning with the group that it is about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

using Notes = std::vector<std::string>;

// Of what was dropped with a mistake and is no group yet, no more than this is told.
inline constexpr std::size_t kMostNewMistakes = 20;

// Null where it is not in the release.
const GroupRelease* find_group(const Release& release, const std::string& name);

// Set by `scale`, a count stays until the file says something else. `before` may be null.
std::uint32_t count_for(const config::Group& wanted, const GroupRelease* before);

// Where the group's plugin file is not the build that runs. Reads the file, unless it is larger
// than any plugin.
void compare_with_plugin(const GroupRelease& group, Notes& notes);

// What the files ask for, and the committed release that runs does not have: a rollout was of other
// groups only, or was rolled back. Groups of the plugin folder are not looked at.
void compare_with_file(const config::Config& file, const Release& committed, Notes& notes);

bool is_among(const std::vector<config::Group>& groups, const std::string& name);

// Why a group that runs and was dropped into the plugin folder is not among those of `config`
// though nobody is known to have taken it away; empty where the folder was read and does not have
// it, nor a part of it. Without the group's name.
std::string why_not_read(const config::Config& config, const std::string& group);

// What the plugin folder has, or should have, and does not run as it says.
void compare_with_folder(const config::Config& config, const std::vector<GroupReleasePtr>& running,
                         Notes& notes);

}  // namespace appserver::supervisor

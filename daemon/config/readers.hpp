// From sections of the tree to the structs of config.hpp.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/section.hpp"

namespace appserver::config {

// A group and the places that later checks between groups name.
struct GroupSource {
  Group group;
  Place place;
  std::vector<Place> listen_places;  // one for each of group.listen
};

// The defaults of a daemon whose relative paths begin in `folder`.
Daemon default_daemon(const std::filesystem::path& folder);

// The `daemon:` section of the top level.
Daemon read_daemon(const Section& top);

// Adds every group under `groups:` of `top` to `groups`, checked by itself and against the names
// that are there already.
void read_groups(const Section& top, const std::filesystem::path& plugin_dir,
                 std::vector<GroupSource>& groups);

// user, group, nice, cpu_affinity, rlimits, environment and working_directory.
void read_process(const Section& section, Group& group);

// A path without NUL, relative to the file that says it.
bool read_path(const Section& section, std::string_view key, std::filesystem::path& path);

// Complains of an address that is listened on twice, within a group or across groups, or that is
// the control socket.
void check_addresses(const std::vector<GroupSource>& groups, const Daemon& daemon,
                     Problems& problems);

}  // namespace appserver::config

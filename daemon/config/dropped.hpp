// Groups that were dropped into the plugin folder: NAME.so with a NAME.yaml beside it.
#pragma once

#include <filesystem>
#include <vector>

#include "config/readers.hpp"
#include "config/section.hpp"

namespace appserver::config {

// Adds to `groups`, by name, the group of each pair in `folder`. NAME.yaml is what would stand
// under groups.NAME, without `plugin`; its relative paths begin in `folder`. One of the two without
// the other is no group, nor is a hidden file, nor `self`, the main configuration file. A folder
// that is missing has no pairs. `top` is the top level of `self`, whose `daemon.plugins.dir`
// problems with the folder are placed at.
void read_dropped(const Section& top, const std::filesystem::path& folder,
                  const std::filesystem::path& self, const Environment& environment,
                  std::vector<GroupSource>& groups);

}  // namespace appserver::config

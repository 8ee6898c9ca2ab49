// Groups that were dropped into the plugin folder: NAME.so with a NAME.yaml beside it.
#pragma once

#include <filesystem>
#include <vector>

#include "config/readers.hpp"
#include "config/section.hpp"

namespace appserver::config {

// What the groups of the plugin folder are added to, and by what rules they are read.
struct DroppedInto {
  std::vector<GroupSource>& groups;  // those of the files come first
  Addresses& addresses;              // has those of `groups`
  LeftOut& left_out;
  DroppedMistakes mistakes = DroppedMistakes::are_errors;
};

// Adds, by name, the group of each pair in `folder`. NAME.yaml is what would stand under
// groups.NAME, without `plugin`; its relative paths begin in `folder`. Neither a hidden file nor
// `self`, the main configuration file, is one of a pair. A NAME.yaml alone is no group, but is
// named in `left_out`, as its NAME.so may be gone for a moment only; so is a folder that is
// missing. `top` is the top level of `self`, whose `daemon.plugins.dir` problems with the folder
// are placed at.
void read_dropped(const Section& top, const std::filesystem::path& folder,
                  const std::filesystem::path& self, const Environment& environment,
                  const DroppedInto& into);

}  // namespace appserver::config

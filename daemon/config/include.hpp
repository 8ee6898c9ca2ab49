// `include:`: which other files belong to a configuration.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/section.hpp"

namespace appserver::config {

struct IncludedFile {
  std::filesystem::path path;  // absolute
  std::string name;            // as problems say it: beside the including file's own name
};

// The files that `include:` of `top` names, one pattern or a list, each relative to the including
// file `self` and expanded by glob(3). In the order of the list, by name within a pattern, each
// once. A pattern may match nothing, and skips `self`; a plain path must exist.
std::vector<IncludedFile> included_files(const Section& top, const std::filesystem::path& self);

}  // namespace appserver::config

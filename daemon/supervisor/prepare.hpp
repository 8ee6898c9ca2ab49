// The part of a reload that reads files: it may take as long as the disk does, so it runs off the
// supervisor's loop.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "plugin/store.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

struct PrepareRequest {
  config::Config running;
  std::vector<std::string> groups;  // whose plugin is to be taken in
  std::uint64_t release = 0;        // number of what comes out
};

struct Prepared {
  std::map<std::string, config::Group> configs;  // every group as the file has it now
  std::map<std::string, ReleasePtr> releases;    // of the requested groups
  std::string refusal;                           // why nothing may be touched; empty: all is well
};

// Throws, naming the key, where workers could not become the user that the group asks for.
void check_identity(const config::Group& group);

// Reads the configuration again, where there is a file, and stores the plugins of the requested
// groups. Never throws: what goes wrong is a refusal.
Prepared prepare(const PrepareRequest& request, plugin::Store& store);

}  // namespace appserver::supervisor

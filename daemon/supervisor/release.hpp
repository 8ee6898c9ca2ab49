// What the groups run. All of it is immutable once made.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "plugin/build.hpp"

namespace appserver::supervisor {

// One group's share of a release: its configuration and the build of its plugin.
struct GroupRelease {
  std::uint64_t number = 0;      // of the release that brought it
  config::Group config;          // as it is in force
  std::uint32_t file_count = 0;  // what the file said of `count` when config.count was set by hand
  plugin::Build build;
};

using GroupReleasePtr = std::shared_ptr<const GroupRelease>;

// A numbered record: everything that was to run from a moment on, and what became of it.
struct Release {
  std::uint64_t number = 0;
  std::uint64_t origin = 0;  // the release that this one goes back to; 0: it is of its own
  std::chrono::system_clock::time_point when{};
  std::string who;     // "appserverctl (uid 0, pid 4711)", "SIGHUP", "watch"
  std::string what;    // "hello bc766bc -> 57ac3f0"
  std::string result;  // "committed", "rolled back: ...", "reverted: ..."
  bool good = false;   // it was committed and has not been reverted since
  std::chrono::milliseconds took{0};
  std::vector<GroupReleasePtr> groups;  // in the order of the configuration
};

}  // namespace appserver::supervisor

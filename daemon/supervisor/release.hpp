// What the groups run. All of it is immutable once made.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "plugin/build.hpp"
#include "supervisor/tls_files.hpp"

namespace appserver::supervisor {

// One group's share of a release: its configuration and the build of its plugin.
struct GroupRelease {
  std::uint64_t number = 0;      // of the release that brought it
  config::Group config;          // as it is in force
  std::uint32_t file_count = 0;  // what the file said of `count` when config.count was set by hand
  plugin::Build build;
  // As its files were when this was made; not recorded. Null without TLS, and where the group that
  // runs has it already.
  TlsMaterialPtr tls = nullptr;
  TlsMaterialPtr link = nullptr;  // the same of config.link
};

using GroupReleasePtr = std::shared_ptr<const GroupRelease>;

// The result of a release whose rollout is not over.
inline constexpr std::string_view kRunning = "running";
// The result of one that runs, and that a restart takes back until somebody confirms it.
inline constexpr std::string_view kWaitsForConfirm = "waits for a confirm";
// How `who` begins where no person asked for it, nor the watcher.
inline constexpr std::string_view kByItself = "the daemon itself";

// A group that must still prove itself: a crash-loop takes it back.
struct Trial {
  std::string group;
  std::chrono::system_clock::time_point until{};
  std::uint64_t release = 0;  // that goes back as a whole with it; 0: only the group does
  std::uint64_t before = 0;   // the release to go back to
};

// A numbered record: everything that was to run from a moment on, and what became of it.
struct Release {
  std::uint64_t number = 0;
  std::uint64_t origin = 0;  // the release that this one goes back to; 0: it is of its own
  std::chrono::system_clock::time_point when{};
  std::string who;   // "appserverctl (uid 0, pid 4711)", "SIGHUP", "watch"
  std::string what;  // "hello bc766bc -> 57ac3f0"
  // kRunning, kWaitsForConfirm, "committed", "rolled back: ...", "reverted: ..."
  std::string result;
  bool good = false;  // it was committed and has not been reverted since
  std::chrono::milliseconds took{0};
  std::vector<GroupReleasePtr> groups;  // in the order of the configuration
  std::vector<Trial> trials;            // while it runs, as of its commit
};

}  // namespace appserver::supervisor

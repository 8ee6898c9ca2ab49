// The versioned store of plugin files: what workers map, so that nobody's copying, building or
// deleting can harm them.
//
//   store/<sha256>/<name>.so  mode 0444; complete, and of this content, once it can be seen
//   store/.incoming-XXXXXX    a copy being made
//
// Knows no processes and no threads; calls take as long as the disk does. One Store a directory at
// a time: the owner of the state directory sees to that.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "os/write_file.hpp"
#include "plugin/build.hpp"

namespace appserver::plugin {

class Store {
 public:
  // Creates the directory, and those above it, where they are absent (0755: workers with another
  // uid read here), and removes what an add() that was killed left behind. Throws os::SystemError.
  // With Access::read_only it touches nothing, and a directory that is absent holds nothing.
  explicit Store(const std::filesystem::path& directory, os::Access access = os::Access::write);

  // Takes in a plugin file and returns its stored build. The same content again gives the same
  // build, repaired if the stored copy was damaged, and makes it the newest. On any failure nothing
  // is left behind and nothing stored is changed. Throws BadPlugin, naming the source, for a file
  // that is refused (see inspect() and take_snapshot(): one over kMaxPluginSize is not even read);
  // os::SystemError for failed calls.
  Build add(const std::filesystem::path& source);

  // Whether a build that add() once returned is still here, its content still that of its SHA-256:
  // what a rollback needs to know. Reads the whole file. Throws os::SystemError where reading
  // fails.
  bool holds(const Build& build) const;

  // Removes all builds but those named and, of each plugin's others, the `keep_newest` that were
  // added last: a plugin is what has one name, so that builds of one make no room for another's.
  // Running workers keep what they mapped. With Access::read_only all stay.
  void collect(std::span<const std::string> keep_sha256, std::size_t keep_newest);

 private:
  std::filesystem::path directory_;
  os::Access access_;
};

}  // namespace appserver::plugin

// What a daemon runs when it starts: what was committed, or what the file says.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "supervisor/archive.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

struct FirstRelease {
  std::uint64_t number = 0;
  std::vector<GroupReleasePtr> groups;
  // What of it must still prove itself.
  std::vector<Trial> trials;
  // For the log and the status: where what runs is not what lies on disk.
  std::vector<std::string> notes;
  // The same, of what was dropped into the plugin folder: they hold until that is looked at again.
  std::vector<std::string> folder_notes;
  // For the log as an error and the status: the state directory cannot be written. Empty: it can.
  std::string problem;
  // The same: what the history does not tell. Empty: it tells all.
  std::string not_recorded;
};

// The committed release, if the file asks for what it asked for when that was committed; this also
// holds where that was rolled back. Else the file's groups, each with its committed build where it
// has one, and with the count that `scale` set unless the file's count is another; a new release is
// recorded. A daemon without a file takes what its command line names. A build that the store has
// lost is taken from the plugin's file, and recorded as a new release, too. Releases that were
// never confirmed or committed, or whose rollout was cut off, are marked as reverted
// (settle_unfinished()). What was to prove itself still is, where its build has stayed: the release
// as a whole where it runs as it was recorded, else each group alone.
//
// What the file asks for is compared as it was understood (fingerprint()): `count: auto` on another
// number of processors, another value of a variable in the file, or an appserverd with a new
// setting count as a changed file, too. Then, too, builds stay; a configuration that was rolled
// back comes again.
//
// Groups of the plugin folder start as they are committed, whatever lies there; where nothing is
// committed, as they lie there, those with a mistake left out. A plugin of the file that is no good
// leaves its group as it is committed, or out where it is not, or where another group listens there
// by now; at a first start it is an error.
//
// Where the state directory cannot be written, the committed release runs as it is, whatever the
// file says, and the archive remembers it for its mend(). A command line that says otherwise is
// refused: who gives one means it now.
//
// Throws, with the way out, where a group has no plugin to run, and where a release can neither be
// recorded nor is one committed.
FirstRelease choose_first_release(const config::Config& config, Archive& archive);

}  // namespace appserver::supervisor

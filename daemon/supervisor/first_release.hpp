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
  // For the log and the status: where what runs is not what lies on disk.
  std::vector<std::string> notes;
};

// The committed release, if the file asks for what it asked for when that was committed; this also
// holds where that was rolled back. Else the file's groups, each with its committed build where it
// has one, and with the count that `scale` set unless the file's count is another; a new release is
// recorded. A daemon without a file takes what its command line names. A build that the store has
// lost is taken from the plugin's file, and recorded as a new release, too. Releases that were
// never confirmed or committed are marked as reverted.
//
// What the file asks for is compared as it was understood (fingerprint()): `count: auto` on another
// number of processors, another value of a variable in the file, or an appserverd with a new
// setting count as a changed file, too. Then, too, builds stay; a configuration that was rolled
// back comes again.
//
// Throws, with the way out, where a group has no plugin to run, and os::SystemError where a release
// cannot be recorded.
FirstRelease choose_first_release(const config::Config& config, Archive& archive);

}  // namespace appserver::supervisor

// What outlives the daemon, in its state directory: builds, releases, quarantine and crash records.
// A disk that is full or read-only is no reason not to run what is committed there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "control/api.hpp"
#include "os/fd.hpp"
#include "plugin/store.hpp"
#include "supervisor/crash_log.hpp"
#include "supervisor/quarantine.hpp"
#include "supervisor/release_log.hpp"

namespace appserver::supervisor {

// For one thread at a time: the one that reads and writes files.
struct Archive {
  // Where the directory cannot be written, what is there is read, and nothing is touched.
  // `state_lock` is what lock_state() gave.
  explicit Archive(const std::filesystem::path& folder, os::Fd state_lock = {});

  // Whether it can be written by now; then all of it is read anew, what runs is committed where
  // nothing is, and the records that a start had to leave as they were get their end. Takes the
  // lock where there was none to take; without it nothing is written.
  bool mend();
  // What a person is told of a directory that cannot be written.
  std::string describe_unwritable() const;

  os::Fd lock;  // first: it is given back last
  std::filesystem::path state_dir;
  std::string unwritable;  // why it cannot be written; empty: it can
  plugin::Store store;
  ReleaseLog releases;
  Quarantine quarantine;
  CrashLog crashes;
  // What a start took from a directory that cannot be written; its number is 0 where it could be.
  Release taken;
};

// What was in it at one moment, for the supervisor's loop.
struct ArchiveView {
  std::vector<Release> releases;  // oldest first
  std::uint64_t committed = 0;
  std::set<std::uint64_t> available;  // all of its builds are in the store
  std::vector<Quarantine::Entry> quarantine;
  std::vector<control::CrashRecord> crashes;  // oldest first
};

ArchiveView look_at(const Archive& archive);

// What `rollback` without --to means: the newest good release that `release` neither is nor goes
// back to, nor came after that. What somebody went away from before is so passed over: after 1, 2,
// 3, 4 (back to 2) and 5 the one before 5 is 4, and the one before that is 1. Null where there is
// none.
const Release* release_before(const std::vector<Release>& releases, std::uint64_t release);

// For people, newest first.
std::vector<control::ReleaseSummary> summarize(const ArchiveView& view);

}  // namespace appserver::supervisor

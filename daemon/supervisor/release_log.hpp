// The releases on disk, so that a restarted supervisor runs what was committed, whatever lies in
// the plugin folder, and a person can go back.
//
//   releases/NUMBER.json   one record, written whole or not at all
//   releases/current.json  which one is committed
//
// Everything is written to a temporary file, fsynced and renamed: a kill at any point, a full disk
// or a damaged record leaves a log that can be used. Knows no threads; calls take as long as the
// disk does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "os/write_file.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

class ReleaseLog {
 public:
  // Records that are kept beside the committed one.
  static constexpr std::size_t kKeep = 100;

  // Creates the folder (0700: settings may hold secrets) where it is absent, removes what a write
  // that was cut off left, and reads what is there. A record that cannot be read is left where it
  // is, and named in problems(). Throws os::SystemError where the folder cannot be used.
  // With Access::read_only nothing is created or removed, and an absent folder has no records.
  explicit ReleaseLog(std::filesystem::path directory, os::Access access = os::Access::write);

  // What could not be read, in words with the file's name, for the log.
  const std::vector<std::string>& problems() const { return problems_; }

  // A number that no record had yet: one above the highest, damaged ones included.
  std::uint64_t next_number() const;

  struct Committed {
    Release release;
    // Fingerprint of the configuration that was last asked for: see fingerprint().
    std::string asked_for;
  };
  // Nullopt where nothing was ever committed or its record is damaged.
  std::optional<Committed> committed() const;

  // Oldest first. From memory.
  const std::vector<Release>& all() const { return releases_; }
  const Release* find(std::uint64_t number) const;

  // Adds the record or replaces the one of this number, and drops those over kKeep: first of all
  // the oldest that failed or was taken back. Throws os::SystemError; then the log on disk and in
  // memory is as before.
  void write(const Release& release);

  // The same guarantees. Neither the committed one nor one without a record.
  void remove(std::uint64_t number);

  // `number` has a record. The same guarantees.
  void commit(std::uint64_t number, const std::string& asked_for);

 private:
  void read_pointer();
  void read(std::uint64_t number);
  std::size_t kept_beside_committed() const;
  template <typename MayGo>
  void drop_oldest(const MayGo& may_go);

  std::filesystem::path directory_;
  std::vector<Release> releases_;
  std::uint64_t highest_ = 0;
  std::uint64_t committed_ = 0;
  std::string asked_for_;
  std::vector<std::string> problems_;
};

// The identity of what the configuration files ask for: a SHA-256 over their groups, in order. What
// was dropped into the plugin folder is not part of it: that is looked at anew after each start.
std::string fingerprint(const config::Config& config);

}  // namespace appserver::supervisor

// The crash records on disk: crashes/NUMBER.json, written whole or not at all; the newest kKeep.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "control/api.hpp"
#include "os/write_file.hpp"

namespace appserver::supervisor {

class CrashLog {
 public:
  static constexpr std::size_t kKeep = 100;

  // As ReleaseLog.
  explicit CrashLog(std::filesystem::path directory, os::Access access = os::Access::write);
  const std::vector<std::string>& problems() const { return problems_; }

  // Gives it its number, and drops the oldest over kKeep. Throws os::SystemError; the record (then
  // all().back(), with its number) is kept in memory only.
  std::uint64_t add(control::CrashRecord record);

  // Oldest first. From memory.
  const std::vector<control::CrashRecord>& all() const { return records_; }

 private:
  void read(std::uint64_t number);

  std::filesystem::path directory_;
  std::vector<control::CrashRecord> records_;
  std::uint64_t highest_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace appserver::supervisor

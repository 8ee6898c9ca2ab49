// What the logs of releases and crashes and the quarantine share: JSON files of version 1 in a
// folder of the supervisor's own, named by their numbers.
//
// The files are ours, but a disk, an older or newer version or a person may have changed them: all
// that is read is checked and bounded.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "control/json_reader.hpp"
#include "os/write_file.hpp"

namespace appserver::supervisor {

// Files with higher numbers are not ours: a stray one must not use up all numbers.
inline constexpr std::uint64_t kHighestNumber = 999'999'999'999'999;

// Makes sure of the folder: created where it is absent, a directory of this user, mode 0700,
// without temporary files. Throws os::SystemError. With Access::read_only it is left as it is, and
// refused where others than this user can write to it. False where it is absent then.
bool open_record_folder(const std::filesystem::path& directory,
                        os::Access access = os::Access::write);

std::filesystem::path record_file(const std::filesystem::path& directory, std::uint64_t number);

struct RecordFiles {
  std::vector<std::uint64_t> numbers;  // newest first
  bool has_pointer = false;
  std::vector<std::filesystem::path> foreign;
};

// `pointer` is the name of the one file that is no record, but not foreign either (nor is what
// set_aside() makes of it); empty: there is none. Throws os::SystemError.
RecordFiles list_records(const std::filesystem::path& directory, std::string_view pointer);

// The content of a record. Throws std::exception with what is wrong with it, without the file's
// name where it is not what write_record() wrote.
boost::json::value read_record(const std::filesystem::path& file, std::size_t limit);

// Adds the version, and writes it whole or not at all (os::write_file), mode 0600. Throws
// os::SystemError, also for one that is larger than `limit` and could not be read again.
void write_record(const std::filesystem::path& file, boost::json::object record, std::size_t limit);

// Keeps a damaged file as FILE.damaged where the next write would replace it. Throws
// os::SystemError.
void set_aside(const std::filesystem::path& file);

// Whether it is gone now.
bool remove_record(const std::filesystem::path& file);

// A moment as whole milliseconds since 1970, and back; refuses one that no clock of ours can hold.
std::int64_t to_milliseconds(std::chrono::system_clock::time_point when);
std::chrono::system_clock::time_point read_time(const control::JsonReader& in,
                                                std::string_view key);

// Problems in words for the log, each with a file's name; what comes after the first twenty is only
// mentioned, so that a folder full of them does not flood it.
void add_problem(std::vector<std::string>& problems, const std::filesystem::path& file,
                 std::string_view why);
void add_foreign(std::vector<std::string>& problems, const RecordFiles& files);

}  // namespace appserver::supervisor

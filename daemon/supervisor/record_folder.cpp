#include "supervisor/record_folder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <functional>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "os/error.hpp"
#include "os/fd.hpp"

namespace appserver::supervisor {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kMostProblems = 20;
constexpr std::string_view kExtension = ".json";
constexpr std::string_view kAside = ".damaged";

// What stands in it is run after a restart: nobody but us may write there. Secrets of the settings
// stand in it, too: nobody else may read there.
void require_own(const fs::path& directory, os::Access access) {
  struct stat status {};
  os::check(::lstat(directory.c_str(), &status), "lstat(\"{}\")", directory.native());
  if (!S_ISDIR(status.st_mode)) {
    os::throw_system_error(ENOTDIR, fmt::format("\"{}\" must be a directory; move away what is "
                                                "there or set another daemon.state_dir",
                                                directory.native()));
  }
  if (status.st_uid != ::geteuid()) {
    os::throw_system_error(EPERM, fmt::format("\"{}\" must belong to the user that appserverd runs "
                                              "as; correct it or set another daemon.state_dir",
                                              directory.native()));
  }
  if (access == os::Access::read_only) {
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
    os::throw_system_error(EPERM, fmt::format("\"{}\" can be written to by others; correct it or "
                                              "set another daemon.state_dir",
                                              directory.native()));
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    os::check(::chmod(directory.c_str(), 0700), "chmod(\"{}\", 0700)", directory.native());
  }
}

std::optional<std::uint64_t> number_of(const fs::path& file) {
  const std::string name = file.filename().native();
  if (!name.ends_with(kExtension) || name.front() < '1' || name.front() > '9') return std::nullopt;
  const char* const end = name.data() + name.size() - kExtension.size();
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc{} || stop != end || number > kHighestNumber) return std::nullopt;
  return number;
}

}  // namespace

bool open_record_folder(const fs::path& directory, os::Access access) {
  std::error_code error;
  if (access == os::Access::read_only) {
    if (!fs::exists(directory, error)) return false;
    require_own(directory, access);
    return true;
  }
  if (directory.has_parent_path()) fs::create_directories(directory.parent_path(), error);
  if (error)
    os::throw_system_error(error.value(), fmt::format("mkdir(\"{}\")", directory.native()));
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    os::throw_system_error(errno, fmt::format("mkdir(\"{}\")", directory.native()));
  require_own(directory, access);
  os::remove_temporaries(directory);
  return true;
}

fs::path record_file(const fs::path& directory, std::uint64_t number) {
  return directory / fmt::format("{}{}", number, kExtension);
}

RecordFiles list_records(const fs::path& directory, std::string_view pointer) {
  RecordFiles files;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().native();
    if (name == pointer) {
      files.has_pointer = true;
    } else if (!pointer.empty() && name == fmt::format("{}{}", pointer, kAside)) {
      continue;
    } else if (const auto number = number_of(entry->path())) {
      files.numbers.push_back(*number);
    } else {
      files.foreign.push_back(entry->path());
    }
  }
  if (error)
    os::throw_system_error(error.value(), fmt::format("reading \"{}\"", directory.native()));
  std::sort(files.numbers.begin(), files.numbers.end(), std::greater<>());
  return files;
}

json::value read_record(const fs::path& file, std::size_t limit) {
  const std::string text = os::read_file(file, limit);
  json::parse_options options;
  options.allow_invalid_utf8 = true;  // a path is bytes
  json::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error)
    throw std::runtime_error(fmt::format("not a whole JSON document: {}", error.message()));
  const std::uint64_t version = control::JsonReader(value, "").count("version");
  if (version != kVersion) {
    throw std::runtime_error(fmt::format(
        "of version {}, which this appserverd (version {}) does not know", version, kVersion));
  }
  return value;
}

void write_record(const fs::path& file, json::object record, std::size_t limit) {
  record["version"] = kVersion;
  const std::string text = json::serialize(record);
  if (text.size() > limit) {
    os::throw_system_error(EFBIG, fmt::format("writing \"{}\": {} bytes are over the limit of {}",
                                              file.native(), text.size(), limit));
  }
  os::write_file(file, text, 0600);
}

void set_aside(const fs::path& file) {
  const std::string aside = fmt::format("{}{}", file.native(), kAside);
  if (::rename(file.c_str(), aside.c_str()) != 0 && errno != ENOENT)
    os::throw_system_error(errno, fmt::format("rename(\"{}\", \"{}\")", file.native(), aside));
}

bool remove_record(const fs::path& file) { return ::unlink(file.c_str()) == 0 || errno == ENOENT; }

std::int64_t to_milliseconds(std::chrono::system_clock::time_point when) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch());
  return std::max<std::int64_t>(since.count(), 0);
}

std::chrono::system_clock::time_point read_time(const control::JsonReader& in,
                                                std::string_view key) {
  using std::chrono::milliseconds;
  using std::chrono::system_clock;
  // With room for whoever rounds it.
  constexpr auto kLast = std::chrono::duration_cast<milliseconds>(
      system_clock::time_point::max().time_since_epoch() - std::chrono::hours(24));
  const milliseconds since(in.integer<std::int64_t>(key));
  if (since > kLast) in.fail(key, "too large for a time");
  return system_clock::time_point(since);
}

void add_problem(std::vector<std::string>& problems, const fs::path& file, std::string_view why) {
  if (problems.size() > kMostProblems) return;
  if (problems.size() == kMostProblems) {
    problems.push_back(
        fmt::format("{}: there are more files like these", file.parent_path().native()));
    return;
  }
  problems.push_back(fmt::format("{}: {}", file.native(), why));
}

void add_foreign(std::vector<std::string>& problems, const RecordFiles& files) {
  for (const auto& file : files.foreign) {
    add_problem(problems, file, "not a record of appserverd, and ignored; move it elsewhere");
  }
}

}  // namespace appserver::supervisor

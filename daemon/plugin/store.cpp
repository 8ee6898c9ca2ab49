#include "plugin/store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "os/error.hpp"
#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/inspect.hpp"
#include "plugin/mapping.hpp"
#include "plugin/sha256.hpp"
#include "plugin/snapshot.hpp"

namespace appserver::plugin {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporaryPrefix = ".incoming-";

// A file of the store while it is being made. Removed unless it was published.
class Temporary {
 public:
  explicit Temporary(const fs::path& directory)
      : path_(directory / fmt::format("{}XXXXXX", kTemporaryPrefix)) {
    file_.reset(os::check(::mkostemp(path_.data(), O_CLOEXEC), "mkostemp(\"{}\")", path_));
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!published_) ::unlink(path_.c_str());
  }

  int fd() const { return file_.get(); }

  // Makes it `target`, replacing what is there, in one step and for good: on disk before it can be
  // seen.
  void publish(const fs::path& target) {
    os::check(::fchmod(fd(), 0444), "fchmod(\"{}\", 0444)", path_);
    os::check(::fsync(fd()), "fsync(\"{}\")", path_);
    os::check(::rename(path_.c_str(), target.c_str()), "rename(\"{}\", \"{}\")", path_,
              target.native());
    published_ = true;
  }

 private:
  std::string path_;
  os::Fd file_;
  bool published_ = false;
};

std::uint64_t size_of(int fd) {
  struct stat status {};
  os::check(::fstat(fd, &status), "fstat(fd {})", fd);
  return static_cast<std::uint64_t>(status.st_size);
}

void sync_directory(const fs::path& directory) {
  const auto file = os::open_file(directory, O_RDONLY | O_DIRECTORY);
  os::check(::fsync(file.get()), "fsync(\"{}\")", directory.native());
}

// As mkdir -p; 0755 whatever the umask, for those that it makes.
void make_directories(const fs::path& directory) {
  if (fs::is_directory(directory)) return;
  if (directory.has_parent_path() && directory != directory.parent_path())
    make_directories(directory.parent_path());
  if (::mkdir(directory.c_str(), 0755) != 0) {
    if (errno == EEXIST && fs::is_directory(directory)) return;
    os::throw_system_error(errno, fmt::format("mkdir(\"{}\")", directory.native()));
  }
  os::check(::chmod(directory.c_str(), 0755), "chmod(\"{}\", 0755)", directory.native());
}

Build identify(int fd) {
  Build build;
  build.size = size_of(fd);
  auto file = inspect(Mapping(fd, build.size).bytes());
  build.sha256 = sha256(fd);
  build.build_id = std::move(file.build_id);
  build.name = std::move(file.name);
  build.version = std::move(file.version);
  build.sdk = std::move(file.sdk);
  build.abi = fmt::format("{}.{}", file.abi_major, file.abi_minor);
  return build;
}

// The stored file, if it is still what it was; else none.
os::Fd open_intact(const Build& build) {
  os::Fd file(::open(build.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return {};
  // sha256() would read what is no file for ever.
  struct stat status {};
  os::check(::fstat(file.get(), &status), "fstat(\"{}\")", build.file.native());
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != build.size)
    return {};
  if (sha256(file.get()) != build.sha256) return {};
  return file;
}

// Makes a build that is stored already the newest.
bool renew(const Build& build) {
  const os::Fd file = open_intact(build);
  if (!file) return false;
  os::check(::futimens(file.get(), nullptr), "futimens(\"{}\")", build.file.native());
  return true;
}

Build add_unexplained(const fs::path& directory, const fs::path& source) {
  // It may have been wiped since.
  make_directories(directory);
  Temporary copy(directory);
  take_snapshot(source, copy.fd());
  auto build = identify(copy.fd());
  const auto home = directory / build.sha256;
  build.file = home / (build.name + ".so");
  if (renew(build)) return build;
  make_directories(home);
  copy.publish(build.file);
  sync_directory(home);
  sync_directory(directory);
  return build;
}

bool is_out_of_space(const std::error_code& code) {
  return code == std::errc::no_space_on_device || code == std::errc::file_too_large ||
         code.value() == EDQUOT;
}

bool is_build_directory(const fs::path& path) {
  const auto name = path.filename().native();
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

struct Stored {
  fs::path directory;
  std::string name;  // of the plugin; empty where an add() or a removal was cut off
  fs::file_time_type added = fs::file_time_type::min();
};

Stored read_stored(const fs::path& directory) {
  Stored stored;
  stored.directory = directory;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() != ".so") continue;
    stored.name = entry.path().stem().native();
    stored.added = std::max(stored.added, entry.last_write_time());
  }
  return stored;
}

// What stands in the store is run: nobody but us may change it.
void require_own(const fs::path& directory) {
  struct stat status {};
  os::check(::lstat(directory.c_str(), &status), "lstat(\"{}\")", directory.native());
  const bool ours = S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
  if (ours && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
  throw BadPlugin(fmt::format(
      "the plugin store \"{}\" must be a directory that belongs to this user and that nobody else "
      "can write to; correct it or set another daemon.state_dir",
      directory.native()));
}

}  // namespace

Store::Store(const fs::path& directory, os::Access access)
    : directory_(fs::absolute(directory).lexically_normal()), access_(access) {
  if (access == os::Access::read_only) {
    if (fs::exists(directory_)) require_own(directory_);
    return;
  }
  make_directories(directory_);
  require_own(directory_);
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (entry.path().filename().native().starts_with(kTemporaryPrefix)) fs::remove(entry.path());
  }
}

Build Store::add(const fs::path& source) {
  try {
    return add_unexplained(directory_, source);
  } catch (const BadPlugin& error) {
    throw BadPlugin(fmt::format("{}: {}", source.native(), error.what()));
  } catch (const os::SystemError& error) {
    if (!is_out_of_space(error.code())) throw;
    throw os::SystemError(error.code().value(),
                          fmt::format("storing \"{}\" in \"{}\", which needs more free space",
                                      source.native(), directory_.native()));
  }
}

bool Store::holds(const Build& build) const {
  if (build.file != directory_ / build.sha256 / (build.name + ".so")) return false;
  return static_cast<bool>(open_intact(build));
}

void Store::collect(std::span<const std::string> keep_sha256, std::size_t keep_newest) {
  if (access_ == os::Access::read_only) return;
  std::vector<Stored> builds;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (!is_build_directory(entry.path())) continue;
    const auto sha256 = entry.path().filename().native();
    if (std::ranges::find(keep_sha256, sha256) == keep_sha256.end())
      builds.push_back(read_stored(entry.path()));
  }
  std::ranges::sort(builds, std::ranges::greater(), &Stored::added);
  std::map<std::string, std::size_t> seen;
  for (const Stored& build : builds) {
    const bool is_new = !build.name.empty() && ++seen[build.name] <= keep_newest;
    if (!is_new) fs::remove_all(build.directory);
  }
}

}  // namespace appserver::plugin

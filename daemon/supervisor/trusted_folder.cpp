#include "supervisor/trusted_folder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

#include "os/error.hpp"

namespace appserver::supervisor {
namespace {

void check_status(std::string_view what, const std::filesystem::path& file,
                  const struct stat& status) {
  const uid_t us = ::geteuid();
  const std::string& path = file.native();
  if (status.st_uid != 0 && status.st_uid != us) {
    throw std::runtime_error(
        fmt::format("the {} {} belongs to uid {}, who could have anything run; see what lies "
                    "there, then give it to root or to uid {}: chown {} {}",
                    what, path, status.st_uid, us, us, path));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw std::runtime_error(
        fmt::format("the {} {} can be written to by others (mode {:04o}), who could have anything "
                    "run; see what lies there, then: chmod go-w {}",
                    what, path, status.st_mode & 07777U, path));
  }
}

// What is not there says so when it is read.
void check_file(const std::filesystem::path& file) {
  struct stat status {};
  const int result = ::stat(file.c_str(), &status);
  if (result != 0 && (errno == ENOENT || errno == ENOTDIR)) return;
  os::check(result, "stat(\"{}\")", file.native());
  check_status("file", file, status);
}

// The folders from that of the file up to the plugin folder. Empty: the file does not lie below it.
std::vector<std::filesystem::path> folders_within(const std::filesystem::path& directory,
                                                  const std::filesystem::path& file) {
  std::vector<std::filesystem::path> folders;
  std::filesystem::path folder = file;
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    folders.push_back(folder);
    std::error_code none;
    if (std::filesystem::equivalent(folder, directory, none)) return folders;
  }
  return {};
}

}  // namespace

void check_trusted(const std::filesystem::path& folder) {
  struct stat status {};
  os::check(::stat(folder.c_str(), &status), "stat(\"{}\")", folder.native());
  check_status("plugin folder", folder, status);
}

void check_plugin_folder(const config::Plugins& plugins) {
  if (!plugins.watch) return;
  struct stat status {};
  const int result = ::stat(plugins.dir.c_str(), &status);
  if (result != 0 && errno == ENOENT) return;
  os::check(result, "stat(\"{}\")", plugins.dir.native());
  check_status("plugin folder", plugins.dir, status);
}

void check_source(const config::Group& group, const config::Plugins& plugins) {
  if (!plugins.watch) return;
  std::error_code unknown;
  const auto resolved = std::filesystem::weakly_canonical(group.plugin, unknown);
  auto folders = folders_within(plugins.dir, group.plugin);
  std::ranges::copy(folders_within(plugins.dir, resolved), std::back_inserter(folders));
  if (folders.empty()) return;
  for (const auto& folder : folders) {
    // What is not there says so when the file is read.
    if (std::error_code none; std::filesystem::exists(folder, none)) check_trusted(folder);
  }
  check_file(group.plugin);
  if (group.dropped) check_file(plugins.dir / (group.name + ".yaml"));
}

}  // namespace appserver::supervisor

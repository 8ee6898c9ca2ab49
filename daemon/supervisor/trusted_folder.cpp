#include "supervisor/trusted_folder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "os/error.hpp"

namespace appserver::supervisor {
namespace {

void check_status(const std::filesystem::path& folder, const struct stat& status) {
  const uid_t us = ::geteuid();
  const std::string& path = folder.native();
  if (status.st_uid != 0 && status.st_uid != us) {
    throw std::runtime_error(
        fmt::format("the plugin folder {} belongs to uid {}, who could have anything run; see what "
                    "lies there, then give it to root or to uid {}: chown {} {}",
                    path, status.st_uid, us, us, path));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw std::runtime_error(
        fmt::format("the plugin folder {} can be written to by others (mode {:04o}), who could "
                    "have anything run; see what lies there, then: chmod go-w {}",
                    path, status.st_mode & 07777U, path));
  }
}

}  // namespace

void check_trusted(const std::filesystem::path& folder) {
  struct stat status {};
  os::check(::stat(folder.c_str(), &status), "stat(\"{}\")", folder.native());
  check_status(folder, status);
}

void check_plugin_folder(const config::Plugins& plugins) {
  if (!plugins.watch) return;
  struct stat status {};
  const int result = ::stat(plugins.dir.c_str(), &status);
  if (result != 0 && errno == ENOENT) return;
  os::check(result, "stat(\"{}\")", plugins.dir.native());
  check_status(plugins.dir, status);
}

void check_source(const std::filesystem::path& plugin, const config::Plugins& plugins) {
  if (!plugins.watch) return;
  std::filesystem::path folder = plugin;
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    std::error_code none;
    if (std::filesystem::equivalent(folder, plugins.dir, none)) return check_trusted(folder);
  }
}

}  // namespace appserver::supervisor

#include "supervisor/prepare.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "os/privileges.hpp"
#include "supervisor/planner.hpp"

namespace appserver::supervisor {
namespace {

// With the way out. Empty: one can be made.
std::string why_no_socket_in(const std::filesystem::path& folder) {
  const std::string& name = folder.native();
  struct stat status {};
  if (::stat(name.c_str(), &status) != 0) {
    if (errno == ENOENT)
      return fmt::format("there is no folder {}; make it: mkdir -p {}", name, name);
    return fmt::format("the folder {} cannot be looked at: {}; mend that", name,
                       std::generic_category().message(errno));
  }
  if (!S_ISDIR(status.st_mode)) return fmt::format("{} is no folder; put one there", name);
  if (::faccessat(AT_FDCWD, name.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  return fmt::format("uid {} can make no socket in the folder {}: {}; let it write there",
                     ::geteuid(), name, std::generic_category().message(errno));
}

}  // namespace

std::vector<GroupPlan> Prepared::kept() const {
  std::vector<GroupPlan> result;
  std::ranges::copy_if(plan, std::back_inserter(result),
                       [](const GroupPlan& each) { return each.change == Change::keep; });
  return result;
}

const GroupRelease* PrepareRequest::find(const std::string& name) const {
  const auto found = std::ranges::find_if(
      current, [&](const GroupReleasePtr& group) { return group->config.name == name; });
  return found == current.end() ? nullptr : found->get();
}

const TlsMaterial* PrepareRequest::tls_of(const std::string& name) const {
  const auto found = tls.find(name);
  return found == tls.end() ? nullptr : found->second.get();
}

bool PrepareRequest::names(const std::string& name) const {
  return std::ranges::find(request.groups, name) != request.groups.end();
}

bool needs_new_workers(const config::Group& running, const config::Group& wanted) {
  // What the supervisor alone goes by.
  config::Group neutral = wanted;
  neutral.count = running.count;
  neutral.reloadable = running.reloadable;
  neutral.plugin = running.plugin;
  neutral.recycle = running.recycle;
  neutral.hang_timeout = running.hang_timeout;
  neutral.dropped = running.dropped;
  neutral.gateway.may_push = running.gateway.may_push;
  const milliseconds drain_timeout = wanted.reload.drain_timeout;
  neutral.reload = running.reload;
  // A worker that loses its supervisor drains by these.
  neutral.reload.drain_timeout = drain_timeout;
  neutral.reload.close_spread = wanted.reload.close_spread;
  return neutral != running;
}

void check_identity(const config::Group& group) {
  for (const std::string& user : group.gateway.may_push) {
    try {
      static_cast<void>(os::find_identity(user, ""));
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("groups.{}.may_push: {}", group.name, error.what()));
    }
  }
  if (group.user.empty()) return;
  os::Identity identity;
  try {
    identity = os::find_identity(group.user, group.group);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.user: {}", group.name, error.what()));
  }
  if (::geteuid() == 0 || ::geteuid() == identity.uid) return;
  throw std::runtime_error(fmt::format(
      "groups.{}.user: becoming '{}' needs appserverd to run as root", group.name, group.user));
}

void check_folders(const config::Group& wanted, const std::vector<GroupReleasePtr>& before,
                   const config::Daemon& daemon) {
  std::vector<config::Listen> known;
  for (const GroupReleasePtr& group : before)
    std::ranges::copy(group->config.addresses(), std::back_inserter(known));
  for (const config::Listen& listen : wanted.addresses()) {
    const std::filesystem::path folder = listen.unix_path.parent_path();
    if (!listen.is_unix() || folder == daemon.control_socket.parent_path()) continue;
    if (std::ranges::find(known, listen) != known.end()) continue;
    const std::string problem = why_no_socket_in(folder);
    if (problem.empty()) continue;
    throw std::runtime_error(fmt::format("groups.{}.listen: {}, for {}; or correct the address",
                                         wanted.name, problem, listen.text));
  }
}

Prepared prepare(const PrepareRequest& request, Archive& archive) {
  try {
    // A start on a disk that could not be written; by now it may be mended.
    if (!archive.unwritable.empty() && !archive.mend()) {
      throw std::runtime_error(
          archive.describe_unwritable() +
          "; mend that (free space, permissions, a read-only mount), then try again");
    }
    Prepared result = Planner(request, archive).plan();
    result.writable = true;
    return result;
  } catch (const std::exception& error) {
    Prepared refused;
    refused.refusal = error.what();
    refused.writable = archive.unwritable.empty();
    return refused;
  }
}

}  // namespace appserver::supervisor

#include "supervisor/wanted_groups.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "config/load.hpp"
#include "supervisor/start_notes.hpp"
#include "supervisor/trusted_folder.hpp"

namespace appserver::supervisor {
namespace {

using RequestKind = RolloutRequest::Kind;

// What a running daemon cannot take over from a changed file.
std::string needs_restart(const config::Daemon& running, const config::Daemon& wanted) {
  std::string result;
  const auto compare = [&](const char* key, bool same) {
    if (same) return;
    add_line(result, fmt::format("daemon.{} has changed; that needs a restart of appserverd", key));
  };
  compare("control.socket", running.control_socket == wanted.control_socket);
  compare("state_dir", running.state_dir == wanted.state_dir);
  compare("plugins", running.plugins == wanted.plugins);
  compare("bus", running.bus == wanted.bus);
  compare("log", running.log == wanted.log);
  return result;
}

// Without a file: each as it runs.
WantedGroups from_current(const PrepareRequest& request) {
  WantedGroups result;
  config::Config asked;
  for (const GroupReleasePtr& group : request.current) {
    result.groups.push_back(*group);
    asked.groups.push_back(group->config);
  }
  result.asked_for = fingerprint(asked);
  return result;
}

// Dropped groups that run, and of which the folder does not say that they are to end.
std::vector<Unread> kept_dropped(const PrepareRequest& request, const config::Config& wanted) {
  std::vector<Unread> result;
  for (const GroupReleasePtr& group : request.current) {
    const std::string& name = group->config.name;
    if (!group->config.dropped || is_among(wanted.groups, name)) continue;
    if (std::string why = why_not_read(wanted, name); !why.empty())
      result.push_back({name, std::move(why)});
  }
  return result;
}

WantedGroups from_file(const PrepareRequest& request) {
  check_plugin_folder(request.running.daemon.plugins);
  // A person is told of every mistake at once, and nothing is touched; the watcher takes the rest.
  const auto mistakes = request.request.watch ? config::DroppedMistakes::are_left_out
                                              : config::DroppedMistakes::are_errors;
  const config::Config wanted =
      config::load_file(request.running.file, config::process_environment(), mistakes);
  WantedGroups result;
  for (const auto& [name, text] : wanted.left_out.mistakes) result.mistakes.push_back({name, text});
  result.kept_dropped = kept_dropped(request, wanted);
  result.refusal = needs_restart(request.running.daemon, wanted.daemon);
  result.asked_for = fingerprint(wanted);
  for (const config::Group& group : wanted.groups) {
    GroupRelease release;
    release.config = group;
    release.file_count = group.count;
    // Set by `scale`, it stays until the file says something else.
    const GroupRelease* now = request.find(group.name);
    if (now != nullptr && now->file_count == group.count) release.config.count = now->config.count;
    result.groups.push_back(std::move(release));
  }
  return result;
}

WantedGroups scaled(const PrepareRequest& request, const Archive& archive) {
  WantedGroups result;
  const auto committed = archive.releases.committed();
  if (committed) result.asked_for = committed->asked_for;
  for (const GroupReleasePtr& group : request.current) {
    result.groups.push_back(*group);
    if (request.names(group->config.name))
      result.groups.back().config.count = request.request.count;
  }
  return result;
}

}  // namespace

WantedGroups find_wanted_groups(const PrepareRequest& request, const Archive& archive) {
  switch (request.request.kind) {
    case RequestKind::rollback:
      return groups_from_record(request, archive);
    case RequestKind::scale:
      return scaled(request, archive);
    case RequestKind::reload:
      break;
  }
  return request.running.file.empty() ? from_current(request) : from_file(request);
}

std::string unknown_names(const PrepareRequest& request, const std::vector<GroupRelease>& wanted) {
  std::string result;
  for (const auto& name : request.request.groups) {
    const bool is_wanted = std::ranges::any_of(
        wanted, [&](const GroupRelease& group) { return group.config.name == name; });
    if (is_wanted || request.find(name) != nullptr) continue;
    std::vector<std::string> names;
    for (const GroupReleasePtr& group : request.current) names.push_back(group->config.name);
    add_line(result, fmt::format("there is no group '{}'; the groups are: {}", name,
                                 fmt::join(names, ", ")));
  }
  return result;
}

void add_line(std::string& text, const std::string& line) {
  if (line.empty()) return;
  if (!text.empty()) text += '\n';
  text += line;
}

}  // namespace appserver::supervisor

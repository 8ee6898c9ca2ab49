#include "supervisor/start_notes.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "os/fd.hpp"
#include "plugin/sha256.hpp"
#include "plugin/snapshot.hpp"
#include "supervisor/builds.hpp"
#include "supervisor/plan_words.hpp"

namespace appserver::supervisor {
namespace {

// The command of appserverctl that gives the group what lies on disk.
std::string_view verb_for(const config::Group& running) {
  return running.reloadable ? "reload" : "restart";
}

}  // namespace

bool is_among(const std::vector<config::Group>& groups, const std::string& name) {
  return std::ranges::find(groups, name, &config::Group::name) != groups.end();
}

const GroupRelease* find_group(const Release& release, const std::string& name) {
  const auto found = std::ranges::find_if(
      release.groups, [&](const GroupReleasePtr& each) { return each->config.name == name; });
  return found == release.groups.end() ? nullptr : found->get();
}

std::uint32_t count_for(const config::Group& wanted, const GroupRelease* before) {
  const bool kept = before != nullptr && before->file_count == wanted.count;
  return kept ? before->config.count : wanted.count;
}

// A restart is no rollout: what else lies in the plugin folder waits for one.
void compare_with_plugin(const GroupRelease& group, Notes& notes) {
  if (!is_stored(group.build)) return;
  std::string what;
  try {
    const std::filesystem::path& plugin = group.config.plugin;
    // Reading a device may have no end.
    if (!std::filesystem::is_regular_file(plugin)) throw std::runtime_error("no file");
    const os::Fd file = os::open_file(plugin, O_RDONLY | O_NONBLOCK);
    const bool too_large = std::filesystem::file_size(plugin) > plugin::kMaxPluginSize;
    if (!too_large && plugin::sha256(file.get()) == group.build.sha256) return;
    what = "is another build than";
  } catch (const std::exception&) {
    what = "cannot be read, unlike";
  }
  notes.push_back(
      fmt::format("{}: {} {} the committed one ({}), which runs; `appserverctl {} {}` "
                  "takes the file",
                  group.config.name, group.config.plugin.native(), what, short_sha(group.build),
                  verb_for(group.config), group.config.name));
}

// What the file asked for already when the committed release was made, but that did not take: a
// rollout was of other groups only, or was rolled back.
void compare_with_file(const config::Config& file, const Release& committed, Notes& notes) {
  for (const config::Group& group : file.groups) {
    if (group.dropped) continue;
    const GroupRelease* const runs = find_group(committed, group.name);
    if (runs == nullptr) {
      notes.push_back(
          fmt::format("{}: is in the file, but not in release {}, which runs; "
                      "`appserverctl reload {}` starts it",
                      group.name, committed.number, group.name));
      continue;
    }
    config::Group wanted = group;
    wanted.count = count_for(group, runs);
    if (wanted == runs->config) continue;
    notes.push_back(
        fmt::format("{}: release {} runs, whose configuration is not that of the file; "
                    "`appserverctl {} {}` takes the file",
                    group.name, committed.number, verb_for(runs->config), group.name));
  }
  for (const GroupReleasePtr& group : committed.groups) {
    const std::string& name = group->config.name;
    if (group->config.dropped) continue;
    if (std::ranges::find(file.groups, name, &config::Group::name) != file.groups.end()) continue;
    notes.push_back(
        fmt::format("{}: is not in the file, but in release {}, which runs; "
                    "`appserverctl reload {}{}` ends it",
                    name, committed.number, group->config.reloadable ? "" : "--force ", name));
  }
}

std::string why_not_read(const config::Config& config, const std::string& group) {
  const config::LeftOut& left_out = config.left_out;
  const std::string& folder = config.daemon.plugins.dir.native();
  if (!left_out.folder.empty()) {
    return fmt::format("it was dropped into {}, which {}; it runs on: put the folder back", folder,
                       left_out.folder);
  }
  const auto mistake = std::ranges::find(left_out.mistakes, group, &config::LeftOut::Mistake::name);
  if (mistake != left_out.mistakes.end()) return mistake->text;
  const auto& alone = left_out.without_plugin;
  if (std::ranges::find(alone, group) == alone.end()) return {};
  return fmt::format(
      "its {0}.so is gone from {1}; it runs on from the store: put the file back, or "
      "remove {0}.yaml to end the group",
      group, folder);
}

void compare_with_folder(const config::Config& config, const std::vector<GroupReleasePtr>& running,
                         Notes& notes) {
  for (const GroupReleasePtr& group : running) {
    const std::string& name = group->config.name;
    if (!group->config.dropped || is_among(config.groups, name)) continue;
    const std::string why = why_not_read(config, name);
    notes.push_back(fmt::format("{}: {}", name, why.empty() ? note_of_missing(*group) : why));
  }
  std::size_t told = 0;
  for (const auto& [name, text] : config.left_out.mistakes) {
    const bool runs = std::ranges::any_of(running, [&name = name](const GroupReleasePtr& group) {
      return group->config.dropped && group->config.name == name;
    });
    if (!runs && ++told <= kMostNewMistakes) notes.push_back(fmt::format("{}: {}", name, text));
  }
}

}  // namespace appserver::supervisor

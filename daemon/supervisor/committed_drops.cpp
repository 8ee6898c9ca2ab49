#include "supervisor/committed_drops.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace appserver::supervisor {

bool has_dropped(const Release& release) {
  return std::ranges::any_of(release.groups,
                             [](const GroupReleasePtr& group) { return group->config.dropped; });
}

const config::Group* find_rival(const std::vector<config::Group>& groups,
                                const config::Group& group) {
  const auto is_taken = [&group](const config::Listen& listen) {
    return std::ranges::any_of(
        group.listen, [&listen](const config::Listen& each) { return each.overlaps(listen); });
  };
  const auto found = std::ranges::find_if(groups, [&](const config::Group& other) {
    return std::ranges::any_of(other.listen, is_taken);
  });
  return found == groups.end() ? nullptr : &*found;
}

config::Config with_committed_drops(const config::Config& config, const Release& committed,
                                    std::vector<std::string>& notes) {
  config::Config result = config;
  std::erase_if(result.groups, [](const config::Group& group) { return group.dropped; });
  if (!config.daemon.plugins.watch) return result;
  for (const GroupReleasePtr& group : committed.groups) {
    const std::string& name = group->config.name;
    const bool is_in_file =
        std::ranges::find(result.groups, name, &config::Group::name) != result.groups.end();
    if (!group->config.dropped || is_in_file) continue;
    if (const config::Group* rival = find_rival(result.groups, group->config)) {
      notes.push_back(fmt::format(
          "{}: it is left out, as it was to listen where group {} of the file listens now; correct "
          "one of them",
          name, rival->name));
      continue;
    }
    result.groups.push_back(group->config);
    result.groups.back().count = group->file_count;
  }
  return result;
}

}  // namespace appserver::supervisor

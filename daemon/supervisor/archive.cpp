#include "supervisor/archive.hpp"

#include <algorithm>
#include <system_error>

namespace appserver::supervisor {

namespace {

bool is_available(const Release& release) {
  return std::ranges::all_of(release.groups, [](const GroupReleasePtr& group) {
    std::error_code error;
    return std::filesystem::exists(group->build.file, error);
  });
}

}  // namespace

Archive::Archive(const std::filesystem::path& state_dir)
    : store(state_dir / "store"),
      releases(state_dir / "releases"),
      quarantine(state_dir / "quarantine.json"),
      crashes(state_dir / "crashes") {}

ArchiveView look_at(const Archive& archive) {
  ArchiveView view;
  view.releases = archive.releases.all();
  if (const auto committed = archive.releases.committed())
    view.committed = committed->release.number;
  for (const Release& release : view.releases) {
    if (is_available(release)) view.available.insert(release.number);
  }
  view.quarantine = archive.quarantine.all();
  view.crashes = archive.crashes.all();
  return view;
}

const Release* release_before(const std::vector<Release>& releases, std::uint64_t release) {
  const auto current = std::ranges::find(releases, release, &Release::number);
  if (current == releases.end()) return nullptr;
  const std::uint64_t below = current->origin != 0 ? current->origin : current->number;
  const Release* found = nullptr;
  for (const Release& each : releases) {
    if (each.good && each.number < below) found = &each;
  }
  return found;
}

std::vector<control::ReleaseSummary> summarize(const ArchiveView& view) {
  std::vector<control::ReleaseSummary> result;
  for (auto release = view.releases.rbegin(); release != view.releases.rend(); ++release) {
    control::ReleaseSummary summary;
    summary.number = release->number;
    summary.when = release->when;
    summary.who = release->who;
    summary.what = release->what;
    summary.result = release->result;
    summary.took = release->took;
    summary.committed = release->number == view.committed;
    summary.available = view.available.contains(release->number);
    for (const GroupReleasePtr& group : release->groups) {
      summary.builds.push_back(
          {group->config.name, group->build.name, group->build.version, group->build.sha256});
    }
    result.push_back(std::move(summary));
  }
  return result;
}

}  // namespace appserver::supervisor

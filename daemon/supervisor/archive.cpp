#include "supervisor/archive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include "os/write_file.hpp"
#include "supervisor/builds.hpp"
#include "supervisor/state_lock.hpp"
#include "supervisor/unfinished.hpp"

namespace appserver::supervisor {

namespace {

bool is_available(const Release& release) {
  return std::ranges::all_of(release.groups, [](const GroupReleasePtr& group) {
    std::error_code error;
    return !is_stored(group->build) || std::filesystem::exists(group->build.file, error);
  });
}

// One that is absent is made by those who need it.
std::string why_unwritable(const std::filesystem::path& state_dir) {
  std::error_code error;
  return std::filesystem::exists(state_dir, error) ? os::why_not_writable(state_dir)
                                                   : std::string();
}

// What a start does where it can write.
void settle(Archive& archive, const Release& taken) {
  if (!archive.releases.committed() && taken.number != 0) {
    if (archive.releases.find(taken.number) == nullptr) archive.releases.write(taken);
    // What the file asked for then is not known.
    archive.releases.commit(taken.number, {});
  }
  if (const auto committed = archive.releases.committed())
    archive.unwritable = settle_unfinished(committed->release, archive);
}

os::Access access(const std::string& unwritable) {
  return unwritable.empty() ? os::Access::write : os::Access::read_only;
}

}  // namespace

Archive::Archive(const std::filesystem::path& folder, os::Fd state_lock)
    : lock(std::move(state_lock)),
      state_dir(folder),
      unwritable(why_unwritable(folder)),
      store(folder / "store", access(unwritable)),
      releases(folder / "releases", access(unwritable)),
      quarantine(folder / "quarantine.json"),
      crashes(folder / "crashes", access(unwritable)) {}

bool Archive::mend() {
  try {
    // Another daemon may have come to write here meanwhile.
    if (!lock) lock = lock_state(state_dir);
    if (!lock) {
      unwritable = why_unwritable(state_dir);
      if (unwritable.empty()) unwritable = "its lock could not be taken";
      return false;
    }
    Archive again(state_dir);
    if (again.unwritable.empty()) settle(again, taken);
    unwritable = again.unwritable;
    if (!unwritable.empty()) return false;
    again.lock = std::move(lock);
    *this = std::move(again);
    return true;
  } catch (const std::exception& error) {
    unwritable = error.what();
    return false;
  }
}

std::string Archive::describe_unwritable() const {
  return fmt::format("the state directory {} cannot be written: {}", state_dir.native(),
                     unwritable);
}

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

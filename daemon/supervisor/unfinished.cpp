#include "supervisor/unfinished.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

namespace appserver::supervisor {
namespace {

// Whether `committed`, on its way back, has passed over this one, which waited for its confirm.
bool is_passed_over(const Release& release, const Release& committed) {
  return release.number < committed.number && committed.origin != 0 &&
         committed.origin < release.number;
}

bool went_back_by_itself(const Release& release) {
  return release.origin != 0 && release.who.starts_with(kByItself);
}

// A person who goes back from a release says nothing against it; the daemon does.
bool has_failed_its_trial(const Release& release, const Release& committed,
                          const ReleaseLog& releases) {
  if (!release.good || !is_passed_over(release, committed) || !went_back_by_itself(committed))
    return false;
  return std::ranges::any_of(release.trials, [&](const Trial& trial) {
    if (trial.release != release.number) return false;
    const Release* const before = releases.find(trial.before);
    const bool went_back = before != nullptr && before->origin != 0;
    return (went_back ? before->origin : trial.before) == committed.origin;
  });
}

// Nothing where it has an end, and is to keep it.
std::string end_of(const Release& release, const Release& committed, const ReleaseLog& releases) {
  if (release.result == kRunning) return "reverted: the daemon ended in the midst of it";
  const bool waits = release.result == kWaitsForConfirm;
  if ((waits && is_passed_over(release, committed)) ||
      has_failed_its_trial(release, committed, releases)) {
    return fmt::format("reverted: release {} went back to release {}", committed.number,
                       committed.origin);
  }
  if (release.number > committed.number) {
    if (waits) return "reverted: the daemon ended before it was confirmed";
    if (release.good) return "reverted: the daemon ended before it was committed";
  }
  return waits ? "committed: another release followed" : "";
}

// What the daemon takes back by itself is held back from the watcher, too.
void hold_back_new_builds(const Release& release, const Release& committed, Archive& archive) {
  if (!is_passed_over(release, committed) || !went_back_by_itself(committed)) return;
  for (const GroupReleasePtr& group : release.groups) {
    const bool runs = std::ranges::any_of(committed.groups, [&](const GroupReleasePtr& each) {
      return each->build.sha256 == group->build.sha256;
    });
    if (!runs)
      archive.quarantine.add(
          {group->build.sha256, release.result, std::chrono::system_clock::now()});
  }
}

}  // namespace

std::string settle_unfinished(const Release& committed, Archive& archive) {
  std::vector<Release> open;
  for (const Release& release : archive.releases.all()) {
    std::string end = end_of(release, committed, archive.releases);
    if (end.empty()) continue;
    open.push_back(release);
    open.back().good = !end.starts_with("reverted: ");
    open.back().result = std::move(end);
  }
  std::string problem;
  for (Release& release : open) {
    if (!release.good) release.trials.clear();
    try {
      if (!release.good) hold_back_new_builds(release, committed, archive);
      archive.releases.write(release);
    } catch (const std::exception& error) {
      problem +=
          fmt::format("{}release {} is {}; that cannot be recorded: {}",
                      problem.empty() ? "" : "; ", release.number, release.result, error.what());
    }
  }
  return problem;
}

}  // namespace appserver::supervisor

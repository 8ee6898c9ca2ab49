#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "supervisor/wanted_groups.hpp"

namespace appserver::supervisor {
namespace {

// Whether going there would bring anything: for the groups asked about, where they ran there; for
// all, also where other groups ran.
bool runs_differently(const PrepareRequest& request, const Release& release) {
  if (request.request.groups.empty() && release.groups.size() != request.current.size())
    return true;
  return std::ranges::any_of(release.groups, [&](const GroupReleasePtr& group) {
    if (!request.selects(group->config.name)) return false;
    const GroupRelease* now = request.find(group->config.name);
    return now == nullptr || now->build.sha256 != group->build.sha256 ||
           now->config != group->config;
  });
}

const Release& release_to_go_back_to(const PrepareRequest& request, const ReleaseLog& log,
                                     const Release& committed) {
  if (request.request.to) {
    const Release* release = log.find(*request.request.to);
    if (release != nullptr) return *release;
    throw std::runtime_error(
        fmt::format("there is no record of release {}; `appserverctl history` shows what there is",
                    *request.request.to));
  }
  // What runs need not be what is committed: it waits for a confirm, or could not be taken back.
  // And releases that changed nothing, or other groups only, would bring nothing back.
  const Release* release = log.find(committed.number);
  while (release != nullptr && !runs_differently(request, *release))
    release = release_before(log.all(), release->number);
  if (release != nullptr) return *release;
  if (const std::string unknown = unknown_names(request, {}); !unknown.empty())
    throw std::runtime_error(unknown);
  throw std::runtime_error(
      request.request.groups.empty()
          ? std::string("there is no earlier release that ran anything else than now")
          : fmt::format("there is no earlier release in which {} ran otherwise than now; "
                        "`appserverctl history` shows what there is",
                        fmt::join(request.request.groups, ", ")));
}

// Those that are not asked about stay, also where that release did not have them.
void add_others(const PrepareRequest& request, std::vector<GroupRelease>& groups) {
  for (const GroupReleasePtr& group : request.current) {
    const bool there = std::ranges::any_of(
        groups, [&](const GroupRelease& each) { return each.config.name == group->config.name; });
    if (!there && !request.selects(group->config.name)) groups.push_back(*group);
  }
}

}  // namespace

WantedGroups groups_from_record(const PrepareRequest& request, const Archive& archive) {
  const auto committed = archive.releases.committed();
  if (!committed) throw std::runtime_error("no release was committed yet");
  const Release& release = release_to_go_back_to(request, archive.releases, committed->release);
  WantedGroups result;
  result.back_to = release.origin != 0 ? release.origin : release.number;
  result.asked_for = committed->asked_for;
  for (const GroupReleasePtr& group : release.groups) {
    const GroupRelease* const now = request.find(group->config.name);
    if (request.selects(group->config.name)) {
      result.groups.push_back(*group);
      // Who scaled meanwhile meant the load, not the release that is taken back.
      const bool scaled = now != nullptr && now->file_count == group->file_count;
      if (scaled && !request.request.reverts.empty())
        result.groups.back().config.count = now->config.count;
    } else if (now != nullptr) {
      result.groups.push_back(*now);
    }
  }
  add_others(request, result.groups);
  return result;
}

}  // namespace appserver::supervisor

// What a Rollout puts first, to compare with the rest.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "supervisor/rollout.hpp"
#include "supervisor/wanted_groups.hpp"

namespace appserver::supervisor {

config::Canary Rollout::canary_for(const GroupRelease& release) const {
  config::Canary canary = release.config.reload.canary;
  // Back to what is known to work.
  if (request_.kind == RolloutRequest::Kind::rollback) canary.slots = 0;
  if (request_.canary) canary.slots = *request_.canary;
  if (request_.hold) canary.hold = *request_.hold;
  // `scale` may have left fewer workers than the configuration goes by. A last one has nobody to be
  // compared with.
  canary.slots = std::min(canary.slots, std::max(release.config.count, 1U) - 1);
  return canary;
}

std::string Rollout::why_without_canary(const GroupRelease& release) const {
  const bool left_out = release.config.reload.canary.slots > 0 && release.config.count < 2 &&
                        request_.kind != RolloutRequest::Kind::rollback;
  if (!left_out) return {};
  return fmt::format(
      "groups.{}.reload.canary: left out, because with one worker there is nobody to compare with",
      release.config.name);
}

// By the configuration, not by what happens to have changed: a script is to get the same answer
// each time.
std::vector<GroupReleasePtr> Rollout::asked_for() const {
  std::vector<GroupReleasePtr> result;
  for (const GroupPlan& plan : prepared_.plan) {
    GroupReleasePtr release = plan.target;
    const Group* group = find(plan.name);
    const bool unchanged = plan.change == Change::keep && plan.why_kept == WhyKept::unchanged;
    if (unchanged && group != nullptr) release = group->release();
    if (release) result.push_back(std::move(release));
  }
  return result;
}

// A canary of all, or a hold of nothing, would let the reload pass for watched. Empty: it may.
std::string Rollout::why_no_canary() const {
  const std::vector<GroupReleasePtr> groups = asked_for();
  std::string problems;
  for (const GroupReleasePtr& group : groups) {
    if (!request_.canary || *request_.canary < group->config.count) continue;
    add_line(problems,
             fmt::format("--canary: expected less than the workers ({}) of groups.{}, got {}; "
                         "somebody must be left to compare with: {}",
                         group->config.count, group->config.name, *request_.canary,
                         group->config.count > 1 ? "lower it, or leave that group out"
                                                 : "name the groups to reload, without that one"));
  }
  if (!request_.hold || request_.canary || groups.empty()) return problems;
  const bool has_one = std::ranges::any_of(groups, [](const GroupReleasePtr& group) {
    return group->config.reload.canary.slots > 0 && group->config.count > 1;
  });
  if (has_one) return {};
  return fmt::format("--hold needs a canary: give --canary N, or set groups.{}.reload.canary",
                     groups.front()->config.name);
}

}  // namespace appserver::supervisor

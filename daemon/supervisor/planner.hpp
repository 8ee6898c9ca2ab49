// Decides group by group what a rollout does to get from what runs to what is wanted.
#pragma once

#include <string>
#include <vector>

#include "supervisor/archive.hpp"
#include "supervisor/prepare.hpp"
#include "supervisor/release.hpp"
#include "supervisor/wanted_groups.hpp"

namespace appserver::supervisor {

// One object a rollout. Both arguments outlive it.
class Planner final {
 public:
  Planner(const PrepareRequest& request, Archive& archive)
      : input_(request), request_(request.request), archive_(archive) {}

  // Takes the builds that it needs into the store. Throws std::exception where there is nothing to
  // plan; what stands against the plan is its refusal.
  Prepared plan();

 private:
  bool overrides_reloadable(const std::string& name) const;
  GroupPlan decide(GroupRelease group);
  GroupPlan decide_missing(const GroupRelease& group) const;
  Change change_for(const GroupRelease* running, const GroupRelease& wanted) const;
  void take_in(GroupRelease& group);
  void take_in_link(GroupRelease& group, const GroupRelease* running) const;
  void take_in_tls(GroupRelease& group, const GroupRelease* running) const;
  bool stopped_by_quarantine(GroupPlan& plan, const GroupRelease& group) const;
  std::string how_to_free(const GroupRelease& holder) const;
  std::string addresses_in_use(const config::Group& group) const;
  void check(const config::Group& group);
  void decide_all(const WantedGroups& wanted);
  void remove_missing(const WantedGroups& wanted);
  void note_mistakes(const std::vector<Unread>& mistakes);

  const PrepareRequest& input_;
  const RolloutRequest& request_;  // of input_
  Archive& archive_;
  std::uint64_t back_to_ = 0;  // the release that a rollback takes groups from
  Prepared result_;
};

}  // namespace appserver::supervisor

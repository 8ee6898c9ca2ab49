#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "supervisor/rollout.hpp"
#include "supervisor/rollout_files.hpp"

// What a rollout leaves behind on disk: the record of its release, and what to make of what failed.
namespace appserver::supervisor {

using control::RolloutResult;

// In the order of the configuration, as a person expects to see them.
void Rollout::sort_groups() {
  const auto place = [this](const std::unique_ptr<Group>& group) {
    return std::ranges::find(prepared_.plan, group->name(), &GroupPlan::name) -
           prepared_.plan.begin();
  };
  std::ranges::stable_sort(targets_.groups, {}, place);
}

Release Rollout::record(std::string result, bool good) const {
  Release release;
  release.number = prepared_.release;
  release.origin = prepared_.origin;
  release.when = std::chrono::system_clock::now();
  release.who = request_.who;
  release.what = prepared_.what;
  release.result = std::move(result);
  release.good = good;
  release.took = elapsed();
  for (const GroupPlan& plan : prepared_.plan) {
    if (plan.change == Change::remove) continue;
    if (plan.change != Change::keep) {
      release.groups.push_back(plan.target);
    } else if (const Group* group = find(plan.name)) {
      release.groups.push_back(group->release());
    }
  }
  return release;
}

std::vector<std::string> Rollout::rolled() const {
  std::vector<std::string> result;
  for (const GroupPlan& plan : prepared_.plan) {
    if (plan.change == Change::roll || plan.change == Change::add) result.push_back(plan.name);
  }
  return result;
}

void Rollout::carry_out(const rollout_effect::Enter&) {
  entered_ = true;
  targets_.archive.run(
      [release = record(std::string(kRunning), false)](Archive& archive,
                                                       const ArchiveKeeper::GivenUp& given_up) {
        if (!given_up) enter_release(archive, release);
      },
      ArchiveKeeper::kLimit,
      [self = shared_from_this()](const std::string& problem) {
        if (!self->done_) return;
        self->touched_ = problem.empty();
        self->apply(self->machine_->entered(
            problem.empty() ? problem : "the rollout cannot be recorded: " + problem));
      });
}

// Of a rollout that ends without a verdict of its own on disk; it may be committed after all.
void Rollout::settle_record() {
  if (!touched_) {
    targets_.archive.run(
        [number = prepared_.release](Archive& archive) { withdraw_release(archive, number); },
        fmt::format("the record of release {}, which came to nothing", prepared_.release));
    return;
  }
  const std::string result = "reverted: the daemon ended in the midst of it";
  targets_.archive.run([number = prepared_.release, result, took = elapsed()](
                           Archive& archive) { settle_running(archive, number, result, took); },
                       fmt::format("the record of release {}", prepared_.release));
}

void Rollout::carry_out(const rollout_effect::Commit&) {
  sort_groups();
  const bool unconfirmed = request_.confirm_within.has_value();
  const std::uint64_t number = prepared_.release;
  Commitment commitment{
      record(std::string(unconfirmed ? kWaitsForConfirm : "committed"), !unconfirmed), unconfirmed,
      prepared_.asked_for, proven_builds(prepared_.plan),
      builds_left_behind(request_, prepared_.plan, ran_before_)};
  commitment.release.trials = trials_after_(request_, number, rolled());
  targets_.archive.run(
      [self = shared_from_this(), commitment = std::move(commitment)](
          Archive& archive, const ArchiveKeeper::GivenUp& given_up) {
        commit_release(archive, commitment, given_up, self->committed_before_);
      },
      ArchiveKeeper::kLimit,
      [self = shared_from_this(), number](const std::string& problem) {
        if (!self->done_) return;
        if (problem.empty()) self->end_.release = number;
        self->apply(self->machine_->committed(
            problem.empty() ? problem : "the release cannot be recorded: " + problem));
      });
}

void Rollout::carry_out(const rollout_effect::Record& why) {
  Release release = record("rolled back: " + why.why, false);
  std::vector<Quarantine::Entry> bad;
  for (const GroupPlan& plan : prepared_.plan) {
    const auto before = before_.find(plan.name);
    if (plan.name != failed_group_ || !plan.target || before == before_.end()) continue;
    // An added group has no build before; a build that ran well before is not the culprit.
    const bool same =
        plan.change != Change::add && before->second->build.sha256 == plan.target->build.sha256;
    if (!same) bad.push_back({plan.target->build.sha256, why.why, release.when});
  }
  targets_.archive.run(
      [self = shared_from_this(), release = std::move(release), bad](
          Archive& archive, const ArchiveKeeper::GivenUp&) {
        record_failure(archive, release, self->prepared_.asked_for, bad, self->committed_before_);
      },
      ArchiveKeeper::kLimit,
      [self = shared_from_this(), bad](const std::string& problem) {
        if (!self->done_) return;
        self->end_.quarantined =
            !bad.empty() && std::ranges::all_of(bad, [&](const Quarantine::Entry& entry) {
              return self->is_quarantined(entry.sha256);
            });
        if (!problem.empty()) {
          self->end_.not_recorded = fmt::format(
              "not all of the end of release {} is recorded: {}; see to the state "
              "directory",
              self->prepared_.release, problem);
        }
        self->apply(self->machine_->recorded(self->end_.not_recorded));
      });
}

// As of what is on the disk.
bool Rollout::is_quarantined(const std::string& sha256) const {
  const std::vector<Quarantine::Entry>& held = targets_.archive.view()->quarantine;
  return std::ranges::find(held, sha256, &Quarantine::Entry::sha256) != held.end();
}

// A build that its preflight has refused is not tried again by the watcher, either.
void Rollout::refuse_build(const std::string& why) {
  const Group* group = find(failed_group_);
  const GroupReleasePtr& target = plan_of(failed_group_).target;
  const bool runs =
      group != nullptr && target && group->release()->build.sha256 == target->build.sha256;
  if (!target || request_.dry_run || runs) {
    finish(RolloutResult::refused, why);
    return;
  }
  const Quarantine::Entry entry{target->build.sha256, why, std::chrono::system_clock::now()};
  targets_.archive.run(
      [entry](Archive& archive, const ArchiveKeeper::GivenUp&) { archive.quarantine.add(entry); },
      ArchiveKeeper::kLimit,
      [self = shared_from_this(), entry](const std::string& problem) {
        self->end_.quarantined = self->is_quarantined(entry.sha256);
        if (!problem.empty()) {
          self->targets_.context.log.error(
              "build {} cannot be put in quarantine, so the next change in a plugin folder that is "
              "watched brings it in again: {}; see to the state directory",
              entry.sha256.substr(0, 7), problem);
        }
        self->finish(RolloutResult::refused, entry.why);
      });
}

}  // namespace appserver::supervisor

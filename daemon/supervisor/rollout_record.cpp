#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "supervisor/rollout.hpp"

// What a rollout leaves behind on disk: the record of its release, and what to make of what failed.
namespace appserver::supervisor {

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
  release.took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - started_);
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

// What a person has rolled back lies in the plugin folder still; the watcher must not bring it in
// again.
std::vector<Quarantine::Entry> Rollout::builds_left_behind() const {
  std::vector<Quarantine::Entry> result;
  if (request_.kind != RolloutRequest::Kind::rollback) return result;
  for (const auto& [name, before] : before_) {
    const GroupReleasePtr& target = plan_of(name).target;
    if (target && before->build.sha256 != target->build.sha256)
      result.push_back({before->build.sha256, "rolled back by " + request_.who,
                        std::chrono::system_clock::now()});
  }
  return result;
}

void Rollout::carry_out(const rollout_effect::Commit&) {
  sort_groups();
  const bool unconfirmed = request_.confirm_within.has_value();
  Release release = record(unconfirmed ? "waits for a confirm" : "committed", !unconfirmed);
  boost::asio::post(targets_.files, [self = shared_from_this(), release = std::move(release),
                                     unconfirmed, asked_for = prepared_.asked_for,
                                     left = builds_left_behind()] {
    std::string why_not;
    std::shared_ptr<const ArchiveView> view;
    try {
      ReleaseLog& log = self->targets_.archive.releases;
      // What has come through every gate is not held back any more.
      for (const GroupReleasePtr& group : release.groups)
        self->targets_.archive.quarantine.release(group->build.sha256);
      for (const Quarantine::Entry& entry : left) self->targets_.archive.quarantine.add(entry);
      log.write(release);
      // Until somebody confirms it, a restarted daemon goes back to the release before.
      const auto committed = log.committed();
      log.commit(unconfirmed && committed ? committed->release.number : release.number, asked_for);
      view = std::make_shared<const ArchiveView>(look_at(self->targets_.archive));
    } catch (const std::exception& error) {
      why_not = fmt::format("the release cannot be recorded: {}", error.what());
    }
    boost::asio::post(self->targets_.context.io, [self, number = release.number, view, why_not] {
      if (!self->done_) return;
      if (why_not.empty()) {
        self->end_.release = number;
        self->end_.view = view;
      }
      self->apply(self->machine_->committed(why_not));
    });
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
  end_.quarantined = !bad.empty();
  boost::asio::post(targets_.files, [self = shared_from_this(), release = std::move(release),
                                     bad = std::move(bad), asked_for = prepared_.asked_for] {
    std::shared_ptr<const ArchiveView> view;
    std::string problem;
    Archive& archive = self->targets_.archive;
    try {
      for (const auto& entry : bad) archive.quarantine.add(entry);
      archive.releases.write(release);
      // A restart of the daemon does not try this configuration again.
      const auto committed = archive.releases.committed();
      if (committed) archive.releases.commit(committed->release.number, asked_for);
    } catch (const std::exception& error) {
      problem = fmt::format("writing the record of what failed: {}", error.what());
    }
    view = std::make_shared<const ArchiveView>(look_at(archive));
    boost::asio::post(self->targets_.context.io, [self, view, problem] {
      if (!self->done_) return;
      if (!problem.empty()) self->targets_.context.log.error("{}", problem);
      self->end_.view = view;
      self->apply(self->machine_->recorded());
    });
  });
}

// A build that its preflight has refused is not tried again by the watcher, either.
void Rollout::quarantine_refused(const std::string& why) {
  const Group* group = find(failed_group_);
  const GroupReleasePtr& target = plan_of(failed_group_).target;
  if (!target || request_.dry_run) return;
  if (group != nullptr && group->release()->build.sha256 == target->build.sha256) return;
  end_.quarantined = true;
  Quarantine::Entry entry{target->build.sha256, why, std::chrono::system_clock::now()};
  boost::asio::post(targets_.files, [self = shared_from_this(), entry = std::move(entry)] {
    std::string problem;
    try {
      self->targets_.archive.quarantine.add(entry);
    } catch (const std::exception& error) {
      problem = fmt::format("putting a build in quarantine: {}", error.what());
    }
    boost::asio::post(self->targets_.context.io, [self, problem] {
      if (!problem.empty()) self->targets_.context.log.error("{}", problem);
    });
  });
}

}  // namespace appserver::supervisor

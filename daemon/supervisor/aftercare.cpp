#include "supervisor/aftercare.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "supervisor/clock.hpp"

namespace appserver::supervisor {

using control::RolloutResult;

namespace {

// What the release before has to run ran already.
bool was_idle(const Rollout::End& end) {
  return end.result == RolloutResult::done && end.release == 0;
}

std::vector<GroupReleasePtr> releases_of(const std::vector<std::unique_ptr<Group>>& groups) {
  std::vector<GroupReleasePtr> result;
  for (const auto& group : groups) result.push_back(group->release());
  return result;
}

}  // namespace

Aftercare::Aftercare(RolloutTargets targets, std::uint64_t release,
                     const std::vector<Trial>& trials, Hooks hooks)
    : targets_(std::move(targets)),
      hooks_(std::move(hooks)),
      trials_(trials, releases_of(targets_.groups), now(), std::chrono::system_clock::now()),
      timer_(targets_.context.io),
      release_(release) {
  arm_timer();
}

void Aftercare::adapt(RolloutRequest& request) const {
  if (!trials_.waits_for_confirm() || reverting_ != 0) return;
  const bool back = request.kind == RolloutRequest::Kind::rollback;
  if (back && !request.to) request.to = trials_.before();
  if (back && request.groups.empty()) return;
  const auto left =
      std::chrono::duration_cast<milliseconds>(*trials_.probation()->confirm_by() - now());
  request.confirm_within = std::max(milliseconds(1), left);
  request.waits_along = true;
}

void Aftercare::rollout_ended(const RolloutRequest& request, const Rollout::End& end) {
  const bool failed = end.release == 0 && !was_idle(end) && !stopping_;
  if (reverting_ != 0) {
    reverted(request.reverts, end);
  } else if (!request.reverts.empty() && failed) {
    stuck_ = fmt::format("{}: to be taken back ({}), but: {}; `appserverctl rollback` tries again",
                         fmt::join(request.groups, ", "), request.reverts, end.text);
  }
  if (end.release == 0) return;
  follow(request, end);
  for (const std::string& group : end.crash_looping) trials_.crash_looping(group, now());
}

void Aftercare::go_back_if_due() {
  if (stopping_ || hooks_.running() != nullptr) return;
  while (const auto back = trials_.take_way_back()) {
    // One that was removed meanwhile does not come back.
    const bool runs = std::ranges::any_of(
        targets_.groups, [&](const auto& group) { return group->name() == back->group; });
    if (back->release != 0 || runs) return revert(*back);
  }
}

void Aftercare::stop() {
  stopping_ = true;
  timer_.cancel();
}

void Aftercare::reverted(const std::string& why, const Rollout::End& end) {
  const std::uint64_t release = std::exchange(reverting_, 0);
  const bool idle = was_idle(end);
  if (end.release == 0 && !idle) {
    if (stopping_) return;
    // Again and again would not make it better.
    trials_.leave_to_people();
    stuck_ = fmt::format(
        "release {}: to be taken back ({}), but: {}; `appserverctl rollback` tries "
        "again",
        release, why, end.text);
    targets_.context.log.error("{}", *stuck_);
    return;
  }
  settle_record(release, "reverted: " + why, false, new_builds(release, why));
  trials_.end_probation();
  if (idle) release_ = trials_.before();
}

std::map<std::string, Time> Aftercare::windows_of(const std::vector<std::string>& rolled) const {
  std::map<std::string, Time> windows;
  for (const auto& group : targets_.groups) {
    const milliseconds window = group->release()->config.reload.confirm_within;
    const bool is_new = std::ranges::find(rolled, group->name()) != rolled.end();
    if (is_new && window.count() > 0) windows.emplace(group->name(), now() + window);
  }
  return windows;
}

std::vector<Trial> Aftercare::trials_after(const RolloutRequest& request, std::uint64_t release,
                                           const std::vector<std::string>& rolled) const {
  Trials after = trials_;
  after.follow(request, {release, release_, rolled, windows_of(rolled)}, now());
  return after.to_record(now(), std::chrono::system_clock::now());
}

void Aftercare::follow(const RolloutRequest& request, const Rollout::End& end) {
  const Trials::Step step{end.release, std::exchange(release_, end.release), end.rolled,
                          windows_of(end.rolled)};
  const bool waited = trials_.waits_for_confirm();
  const std::uint64_t release_before = waited ? trials_.probation()->release() : 0;
  trials_.follow(request, step, now());
  if (waited && request.waits_along) {
    settle_record(
        release_before,
        fmt::format("committed: release {} followed, which waits for the confirm", end.release),
        false);
    return;
  }
  // A change of the number of slots says nothing for or against what they run.
  if (end.rolled.empty() && !request.confirm_within) return;
  stuck_.reset();
  if (waited) {
    const bool back = request.kind == RolloutRequest::Kind::rollback && request.groups.empty();
    settle_record(release_before,
                  back ? "reverted: rolled back by " + request.who
                       : std::string("committed: another release followed"),
                  !back);
  }
  arm_timer();
}

void Aftercare::arm_timer() {
  const auto deadline = trials_.next_deadline(now());
  if (!deadline) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(*deadline);
  timer_.async_wait([this](const boost::system::error_code& error) {
    // On its way back it is no matter of time any more; the handler may have been queued before.
    if (error || trials_.probation() == nullptr || stopping_ || reverting_ != 0) return;
    trials_.tick(now());
    go_back_if_due();
    if (reverting_ == 0) arm_timer();
  });
}

void Aftercare::crash_looping(const std::string& group) {
  trials_.crash_looping(group, now());
  go_back_if_due();
}

// The release on probation stays that until it is back. What has followed the release of a group is
// of others: then only the group goes.
void Aftercare::revert(const Trials::WayBack& back) {
  RolloutRequest request;
  request.kind = RolloutRequest::Kind::rollback;
  request.to = back.before;
  request.reverts = back.why;
  request.who = fmt::format("{} ({})", kByItself, back.why);
  if (back.release != 0) {
    targets_.context.log.error("release {} is taken back: {}", back.release, back.why);
    reverting_ = back.release;
    timer_.cancel();
  } else {
    targets_.context.log.error("{} is taken back to release {}: {}", back.group, back.before,
                               back.why);
    request.groups = {back.group};
  }
  hooks_.begin(std::move(request));
}

std::vector<Quarantine::Entry> Aftercare::new_builds(std::uint64_t number,
                                                     const std::string& why) const {
  std::vector<Quarantine::Entry> result;
  const std::vector<Release>& releases = targets_.archive.view()->releases;
  const auto release = std::ranges::find(releases, number, &Release::number);
  const auto before = std::ranges::find(releases, trials_.before(), &Release::number);
  if (release == releases.end() || before == releases.end()) return result;
  for (const GroupReleasePtr& group : release->groups) {
    const bool known = std::ranges::any_of(before->groups, [&](const GroupReleasePtr& old) {
      return old->build.sha256 == group->build.sha256;
    });
    if (!known) result.push_back({group->build.sha256, why, std::chrono::system_clock::now()});
  }
  return result;
}

void Aftercare::settle_record(std::uint64_t number, std::string result, bool good,
                              std::vector<Quarantine::Entry> bad) {
  targets_.archive.run(
      [number, result = std::move(result), good, bad = std::move(bad)](Archive& archive) {
        for (const Quarantine::Entry& entry : bad) archive.quarantine.add(entry);
        const Release* found = archive.releases.find(number);
        if (found == nullptr) return;
        Release release = *found;
        release.result = result;
        release.good = good;
        if (!good) release.trials.clear();
        archive.releases.write(release);
      },
      fmt::format("the record of release {}", number));
}

std::string Aftercare::confirm(const std::string& who) {
  if (!trials_.waits_for_confirm()) throw control::Conflict("no release waits for a confirm");
  if (reverting_ != 0)
    throw control::Conflict(fmt::format("release {} is being taken back already", reverting_));
  const Rollout* const running = hooks_.running();
  if (running != nullptr && running->request().waits_along)
    throw control::Conflict(
        fmt::format("{} runs upon it; confirm when that is over", running->id()));
  const std::uint64_t release = trials_.probation()->release();
  targets_.context.log.info("release {} is confirmed by {}", release, who);
  trials_.confirm();
  stuck_.reset();
  arm_timer();
  targets_.archive.run(
      [release, who](Archive& archive) {
        const Release* found = archive.releases.find(release);
        if (found == nullptr) return;
        Release record = *found;
        record.result = "committed, confirmed by " + who;
        record.good = true;
        archive.releases.write(record);
        const auto committed = archive.releases.committed();
        if (committed && committed->release.number > release) return;
        archive.releases.commit(release, committed ? committed->asked_for : std::string());
      },
      fmt::format("release {} cannot be recorded as confirmed, a restart goes back", release));
  return fmt::format("release {} stays", release);
}

std::optional<std::string> Aftercare::abort(const std::string& who) {
  if (!trials_.waits_for_confirm()) return std::nullopt;
  const std::uint64_t release = trials_.probation()->release();
  trials_.give_up("aborted by " + who);
  go_back_if_due();
  return fmt::format("release {} is taken back; `appserverctl reload watch` shows how far it is",
                     release);
}

std::optional<Time> Aftercare::confirm_by() const {
  const Probation* const probation = trials_.probation();
  return probation == nullptr ? std::nullopt : probation->confirm_by();
}

}  // namespace appserver::supervisor

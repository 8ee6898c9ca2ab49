#include "supervisor/rollouts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace appserver::supervisor {

using control::RolloutEvent;
using control::RolloutResult;

namespace {

Time now() { return std::chrono::steady_clock::now(); }

bool is_alike(RolloutRequest a, const RolloutRequest& b) {
  a.who = b.who;
  return a == b;
}

}  // namespace

Rollouts::Rollouts(RolloutTargets targets, std::shared_ptr<const ArchiveView> view, Hooks hooks)
    : targets_(std::move(targets)),
      view_(std::move(view)),
      hooks_(std::move(hooks)),
      probation_timer_(targets_.context.io),
      release_(view_->committed) {}

void Rollouts::refuse(const RolloutRequest& request,
                      const std::shared_ptr<control::EventStream>& events, RolloutResult result,
                      const std::string& text) {
  targets_.context.log.warning("reload asked for by {} is refused: {}", request.who, text);
  if (!events) return;
  RolloutEvent event;
  event.kind = control::EventKind::done;
  event.result = result;
  event.text = text;
  events->send(event);
}

void Rollouts::ask(RolloutRequest request, std::shared_ptr<control::EventStream> events) {
  if (stopping_) {
    refuse(request, events, RolloutResult::stopped, "the daemon is stopping");
    return;
  }
  if (!running_) {
    begin({std::move(request), {std::move(events)}});
    return;
  }
  if (!queued_) {
    if (events) {
      RolloutEvent event;
      event.text = fmt::format("{} runs; this one is next", running_->id());
      events->send(event);
    }
    queued_ = Queued{std::move(request), {std::move(events)}};
    return;
  }
  if (is_alike(queued_->request, request)) {
    if (events) queued_->events.push_back(std::move(events));
    return;
  }
  refuse(
      request, events, RolloutResult::busy,
      fmt::format("{} runs and another one waits; try again when they are over", running_->id()));
}

void Rollouts::folder_changed() {
  // It never takes the one place of those who wait: that is for people.
  folder_changed_ = running_ != nullptr;
  if (running_ || stopping_) return;
  RolloutRequest request;
  request.changed = true;
  request.watch = true;
  request.who = "watch (the plugin folder has changed)";
  begin({std::move(request), {}});
}

// What is asked for while a release waits for its confirm is built upon that one, and waits along.
void Rollouts::adapt(RolloutRequest& request) const {
  if (!probation_ || !probation_->waits_for_confirm() || reverting_ != 0) return;
  const bool back = request.kind == RolloutRequest::Kind::rollback;
  if (back && !request.to) request.to = before_number_;
  if (back && request.groups.empty()) return;
  const auto left = std::chrono::duration_cast<milliseconds>(*probation_->confirm_by() - now());
  request.confirm_within = std::max(milliseconds(1), left);
  request.waits_along = true;
}

void Rollouts::begin(Queued next) {
  adapt(next.request);
  if (hooks_.begun) hooks_.begun();
  running_ =
      std::make_shared<Rollout>(targets_, fmt::format("r-{}", ++count_), std::move(next.request),
                                [this](const Rollout::End& end) { ended(end); });
  for (auto& listener : next.events) running_->listen(std::move(listener));
  // Not from here: a refusal ends it at once, and the next one would begin inside this call.
  boost::asio::post(targets_.context.io, [rollout = running_] { rollout->run(); });
}

void Rollouts::ended(const Rollout::End& end) {
  const std::shared_ptr<Rollout> ended = std::exchange(running_, nullptr);
  const RolloutRequest& request = ended->request();
  const bool idle = end.result == RolloutResult::done && end.release == 0;
  // What the watcher had no reason to do is nothing that a person would want to look at.
  if (!request.watch || !idle || !last_) last_ = ended;
  if (end.view) view_ = end.view;
  const bool failed = end.release == 0 && !idle && !stopping_;
  if (reverting_ != 0) {
    reverted(request.reverts, end, idle);
  } else if (!request.reverts.empty() && failed) {
    stuck_ = fmt::format("{}: to be taken back ({}), but: {}; `appserverctl rollback` tries again",
                         fmt::join(request.groups, ", "), request.reverts, end.text);
  }
  if (end.release != 0) begin_probation(request, end);
  // Also what was refused is in the store.
  if (!stopping_ && !(request.watch && idle)) collect_builds();
  // Without the build that failed, the rest of what was dropped may be fine.
  if (end.watch && end.quarantined) folder_changed_ = true;
  if (hooks_.ended) hooks_.ended(end);
  if (stopping_) return;
  if (const auto why = std::exchange(revert_due_, std::nullopt)) {
    if (revert_for_crash_ && carried_.contains(crashed_)) {
      revert_group(crashed_, *why);
    } else {
      revert(*why);
    }
  }
  if (running_) return;
  if (queued_) {
    begin(*std::exchange(queued_, std::nullopt));
  } else if (std::exchange(folder_changed_, false)) {
    folder_changed();
  }
}

// `idle`: what the release before has to run ran already.
void Rollouts::reverted(const std::string& why, const Rollout::End& end, bool idle) {
  const std::uint64_t release = std::exchange(reverting_, 0);
  if (end.release == 0 && !idle) {
    if (stopping_) return;
    // Again and again would not make it better.
    if (probation_) probation_->leave_to_people();
    stuck_ = fmt::format(
        "release {}: to be taken back ({}), but: {}; `appserverctl rollback` tries "
        "again",
        release, why, end.text);
    targets_.context.log.error("{}", *stuck_);
    return;
  }
  settle_record(release, "reverted: " + why, false, new_builds(release, why));
  probation_.reset();
  if (idle) release_ = before_number_;
}

std::map<std::string, Time> Rollouts::windows_of(const std::vector<std::string>& rolled) const {
  std::map<std::string, Time> windows;
  for (const auto& group : targets_.groups) {
    const milliseconds window = group->release()->config.reload.confirm_within;
    const bool is_new = std::ranges::find(rolled, group->name()) != rolled.end();
    if (is_new && window.count() > 0) windows.emplace(group->name(), now() + window);
  }
  return windows;
}

void Rollouts::begin_probation(const RolloutRequest& request, const Rollout::End& end) {
  const std::uint64_t before = std::exchange(release_, end.release);
  if (probation_ && request.waits_along && probation_->waits_for_confirm()) {
    settle_record(
        probation_->release(),
        fmt::format("committed: release {} followed, which waits for the confirm", end.release),
        false);
    probation_->follow(end.release, windows_of(end.rolled));
    return;
  }
  // A change of the number of slots says nothing for or against what they run.
  if (end.rolled.empty() && !request.confirm_within) return;
  stuck_.reset();
  end_probation(request, end.rolled);
  if (request.kind == RolloutRequest::Kind::rollback && request.groups.empty()) carried_.clear();
  if (request.kind == RolloutRequest::Kind::rollback || before == 0) return;
  std::map<std::string, Time> windows = windows_of(end.rolled);
  std::optional<Time> confirm_by;
  if (request.confirm_within) confirm_by = now() + *request.confirm_within;
  if (windows.empty() && !confirm_by) return;
  probation_.emplace(end.release, std::move(windows), confirm_by);
  before_number_ = before;
  arm_probation();
}

// What another release does not touch is still to prove itself.
void Rollouts::carry_over(const std::vector<std::string>& rolled) {
  for (const auto& group : rolled) carried_.erase(group);
  std::erase_if(carried_, [](const auto& each) { return each.second.until < now(); });
  for (const auto& [group, until] : probation_->windows()) {
    const bool is_new = std::ranges::find(rolled, group) != rolled.end();
    if (!is_new && until > now()) carried_[group] = {until, before_number_};
  }
}

void Rollouts::end_probation(const RolloutRequest& next, const std::vector<std::string>& rolled) {
  if (!probation_) return;
  carry_over(rolled);
  if (probation_->waits_for_confirm()) {
    const bool back = next.kind == RolloutRequest::Kind::rollback && next.groups.empty();
    settle_record(probation_->release(),
                  back ? "reverted: rolled back by " + next.who
                       : std::string("committed: another release followed"),
                  !back);
  }
  // One that was due for the release before is due for its group, where that is as it was.
  if (!revert_for_crash_ || !carried_.contains(crashed_)) revert_due_.reset();
  probation_.reset();
  probation_timer_.cancel();
}

void Rollouts::arm_probation() {
  const auto deadline = probation_->next_deadline(now());
  if (!deadline) {
    probation_.reset();
    return;
  }
  probation_timer_.expires_at(*deadline);
  probation_timer_.async_wait([this](const boost::system::error_code& error) {
    // On its way back it is no matter of time any more; the handler may have been queued before.
    if (error || !probation_ || stopping_ || reverting_ != 0) return;
    if (const auto why = probation_->tick(now())) {
      revert_for_crash_ = false;
      revert(*why);
    } else {
      arm_probation();
    }
  });
}

void Rollouts::crash_looping(const std::string& group) {
  if (stopping_ || reverting_ != 0) return;
  auto why = probation_ ? probation_->crash_looping(group, now()) : std::nullopt;
  const auto carried = carried_.find(group);
  const bool is_carried = carried != carried_.end() && now() <= carried->second.until;
  if (!why && !is_carried) return;
  revert_for_crash_ = true;
  crashed_ = group;
  if (why) {
    revert(*why);
  } else {
    revert_group(group, group + " crash-loops within reload.confirm_within of its rollout");
  }
}

// Only the group: what has followed is of others.
void Rollouts::revert_group(const std::string& group, const std::string& why) {
  if (running_) {
    revert_due_ = why;
    return;
  }
  const std::uint64_t before = carried_.at(group).before;
  carried_.erase(group);
  targets_.context.log.error("{} is taken back to release {}: {}", group, before, why);
  RolloutRequest request;
  request.kind = RolloutRequest::Kind::rollback;
  request.to = before;
  request.groups = {group};
  request.reverts = why;
  request.who = fmt::format("the daemon itself ({})", why);
  begin({std::move(request), {}});
}

// Goes back to what ran before the release on probation, which it stays until that is done.
void Rollouts::revert(const std::string& why) {
  if (!probation_ || reverting_ != 0) return;
  if (running_) {
    revert_due_ = why;
    return;
  }
  targets_.context.log.error("release {} is taken back: {}", probation_->release(), why);
  RolloutRequest request;
  request.kind = RolloutRequest::Kind::rollback;
  request.to = before_number_;
  request.reverts = why;
  request.who = fmt::format("the daemon itself ({})", why);
  reverting_ = probation_->release();
  probation_timer_.cancel();
  begin({std::move(request), {}});
}

void Rollouts::on_files(std::function<void(Archive&)> work, std::string what) {
  boost::asio::post(targets_.files, [this, work = std::move(work), what = std::move(what)] {
    std::string problem;
    try {
      work(targets_.archive);
    } catch (const std::exception& error) {
      problem = fmt::format("{}: {}", what, error.what());
    }
    auto view = std::make_shared<const ArchiveView>(look_at(targets_.archive));
    boost::asio::post(targets_.context.io, [this, view, problem] {
      if (!problem.empty()) targets_.context.log.error("{}", problem);
      view_ = view;
    });
  });
}

std::vector<Quarantine::Entry> Rollouts::new_builds(std::uint64_t number,
                                                    const std::string& why) const {
  std::vector<Quarantine::Entry> result;
  const auto release = std::ranges::find(view_->releases, number, &Release::number);
  const auto before = std::ranges::find(view_->releases, before_number_, &Release::number);
  if (release == view_->releases.end() || before == view_->releases.end()) return result;
  for (const GroupReleasePtr& group : release->groups) {
    const bool known = std::ranges::any_of(before->groups, [&](const GroupReleasePtr& old) {
      return old->build.sha256 == group->build.sha256;
    });
    if (!known) result.push_back({group->build.sha256, why, std::chrono::system_clock::now()});
  }
  return result;
}

void Rollouts::settle_record(std::uint64_t number, std::string result, bool good,
                             std::vector<Quarantine::Entry> bad) {
  on_files(
      [number, result = std::move(result), good, bad = std::move(bad)](Archive& archive) {
        for (const Quarantine::Entry& entry : bad) archive.quarantine.add(entry);
        const Release* found = archive.releases.find(number);
        if (found == nullptr) return;
        Release release = *found;
        release.result = result;
        release.good = good;
        archive.releases.write(release);
      },
      fmt::format("the record of release {}", number));
}

std::string Rollouts::confirm(const std::string& who) {
  if (!probation_ || !probation_->waits_for_confirm())
    throw control::Conflict("no release waits for a confirm");
  if (reverting_ != 0)
    throw control::Conflict(fmt::format("release {} is being taken back already", reverting_));
  if (running_ && running_->request().waits_along)
    throw control::Conflict(
        fmt::format("{} runs upon it; confirm when that is over", running_->id()));
  const std::uint64_t release = probation_->release();
  targets_.context.log.info("release {} is confirmed by {}", release, who);
  probation_->confirm();
  stuck_.reset();
  // One that crash-loops is taken back all the same.
  if (revert_due_ && !revert_for_crash_) revert_due_.reset();
  arm_probation();
  on_files(
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

std::string Rollouts::abort(const std::string& who) {
  if (reverting_ != 0) {
    throw control::Conflict(
        fmt::format("release {} is being taken back; that cannot be aborted", reverting_));
  }
  if (running_) return running_->abort(who);
  if (probation_ && probation_->waits_for_confirm()) {
    const std::uint64_t release = probation_->release();
    revert("aborted by " + who);
    return fmt::format("release {} is taken back; `appserverctl reload watch` shows how far it is",
                       release);
  }
  throw control::Conflict("no rollout is running");
}

std::string Rollouts::proceed(const std::string& who) {
  if (running_) return running_->proceed(who);
  throw control::Conflict("no rollout is running");
}

void Rollouts::watch(std::shared_ptr<control::EventStream> events) {
  const std::shared_ptr<Rollout>& rollout = running_ ? running_ : last_;
  if (!rollout) throw control::Conflict("there was no rollout since the daemon started");
  rollout->listen(std::move(events));
}

std::optional<control::RolloutStatus> Rollouts::status() const {
  const std::shared_ptr<Rollout>& rollout = running_ ? running_ : last_;
  if (!rollout) return std::nullopt;
  control::RolloutStatus status = rollout->status();
  status.queued = queued_.has_value();
  if (!running_ && probation_ && probation_->confirm_by()) {
    status.state = control::RolloutState::confirming;
    status.left =
        std::max(milliseconds(0),
                 std::chrono::duration_cast<milliseconds>(*probation_->confirm_by() - now()));
  }
  return status;
}

void Rollouts::group_stopped(const std::string& group) {
  if (running_) running_->group_stopped(group);
}

void Rollouts::stop(const std::string& why) {
  stopping_ = true;
  probation_timer_.cancel();
  if (running_) running_->stop(why);
  if (!queued_) return;
  const Queued dropped = *std::exchange(queued_, std::nullopt);
  RolloutEvent event;
  event.kind = control::EventKind::done;
  event.result = RolloutResult::stopped;
  event.text = why;
  for (const auto& listener : dropped.events) {
    if (listener) listener->send(event);
  }
}

std::vector<std::string> Rollouts::used_builds() const {
  std::vector<std::string> used;
  for (const auto& group : targets_.groups) used.push_back(group->release()->build.sha256);
  // Also those that a restart, the end of the probation, or a plain rollback goes back to.
  const Release* const before = release_before(view_->releases, release_);
  for (const Release& release : view_->releases) {
    const bool needed = release.number == view_->committed || &release == before ||
                        (probation_ && release.number == before_number_);
    if (!needed) continue;
    for (const auto& group : release.groups) used.push_back(group->build.sha256);
  }
  return used;
}

// What nobody runs and nobody is likely to want back soon makes room.
void Rollouts::collect_builds() {
  const std::uint32_t keep = targets_.running.daemon.plugins.keep;
  on_files([used = used_builds(), keep](Archive& archive) { archive.store.collect(used, keep); },
           "tidying the store");
}

}  // namespace appserver::supervisor

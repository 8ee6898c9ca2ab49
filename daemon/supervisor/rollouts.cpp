#include "supervisor/rollouts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <set>
#include <utility>

namespace appserver::supervisor {

using control::RolloutEvent;
using control::RolloutResult;

namespace {

bool is_alike(RolloutRequest a, const RolloutRequest& b) {
  a.who = b.who;
  return a == b;
}

}  // namespace

Rollouts::Rollouts(RolloutTargets targets, std::uint64_t release, const std::vector<Trial>& trials,
                   Hooks hooks)
    : targets_(std::move(targets)),
      hooks_(std::move(hooks)),
      aftercare_(targets_, release, trials,
                 {[this] { return running_.get(); },
                  [this](RolloutRequest request) {
                    begin({std::move(request), {}});
                  }}) {}

void Rollouts::refuse(const RolloutRequest& request,
                      const std::shared_ptr<control::EventStream>& events, RolloutResult result,
                      const std::string& text) {
  targets_.context.log.warning("reload asked for by {} is refused: {}", request.who, text);
  if (!events) return;
  RolloutEvent event;
  event.kind = control::EventKind::done;
  if (result == RolloutResult::busy) event.rollout = running_->id();
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
      event.rollout = running_->id();
      event.text = "runs; this one is next";
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

void Rollouts::folder_changed(std::set<std::string> taken_away) {
  taken_away_.seen(std::move(taken_away));
  // It never takes the one place of those who wait: that is for people.
  folder_changed_ = running_ != nullptr;
  if (!running_ && !stopping_) begin_watched();
}

void Rollouts::begin_watched() {
  RolloutRequest request;
  request.changed = true;
  request.watch = true;
  request.taken_away = taken_away_.hand_over();
  request.who = "watch (the plugin folder has changed)";
  begin({std::move(request), {}});
}

void Rollouts::begin(Queued next) {
  aftercare_.adapt(next.request);
  if (hooks_.begun) hooks_.begun();
  running_ = std::make_shared<Rollout>(
      targets_, fmt::format("r-{}", ++count_), std::move(next.request),
      [this](const auto&... about) { return aftercare_.trials_after(about...); },
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
  aftercare_.rollout_ended(request, end);
  // Also what was refused is in the store.
  if (!stopping_ && !(request.watch && idle)) collect_builds();
  if (end.watch) taken_away_.ended(end.release != 0 || idle);
  if (end.watch && end.made_room) folder_changed_ = true;
  // Without the build that failed, the rest of what was dropped may be fine.
  if (end.watch && end.quarantined) folder_changed_ = true;
  if (hooks_.ended) hooks_.ended(end);
  if (stopping_) return;
  aftercare_.go_back_if_due();
  if (running_) return;
  if (queued_) {
    begin(*std::exchange(queued_, std::nullopt));
  } else if (std::exchange(folder_changed_, false)) {
    begin_watched();
  }
}

std::string Rollouts::abort(const std::string& who) {
  if (aftercare_.reverting() != 0) {
    throw control::Conflict(fmt::format("release {} is being taken back; that cannot be aborted",
                                        aftercare_.reverting()));
  }
  if (running_) return running_->abort(who);
  if (auto text = aftercare_.abort(who)) return *std::move(text);
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
  if (aftercare_.reverting() != 0) status.can_abort = false;
  const std::optional<Time> confirm_by = aftercare_.confirm_by();
  if (!running_ && confirm_by) {
    status.state = control::RolloutState::confirming;
    status.can_abort = true;
    status.left = std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(
                                                *confirm_by - std::chrono::steady_clock::now()));
  }
  return status;
}

void Rollouts::crash_looping(const std::string& group) {
  if (running_ && running_->crash_looping(group)) return;
  aftercare_.crash_looping(group);
}

void Rollouts::group_stopped(const std::string& group) {
  if (running_) running_->group_stopped(group);
}

void Rollouts::stop(const std::string& why) {
  stopping_ = true;
  aftercare_.stop();
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
  const ArchiveView& view = *targets_.archive.view();
  std::vector<std::string> used;
  for (const auto& group : targets_.groups) used.push_back(group->release()->build.sha256);
  // Also those that a restart, the end of the probation, or a plain rollback goes back to.
  std::set<std::uint64_t> needed = aftercare_.ways_back();
  needed.insert(view.committed);
  if (const Release* before = release_before(view.releases, release()))
    needed.insert(before->number);
  for (const Release& release : view.releases) {
    if (!needed.contains(release.number) && release.result != kRunning) continue;
    for (const auto& group : release.groups) used.push_back(group->build.sha256);
  }
  return used;
}

// What nobody runs and nobody is likely to want back soon makes room.
void Rollouts::collect_builds() {
  const std::uint32_t keep = targets_.running.daemon.plugins.keep;
  targets_.archive.run(
      [used = used_builds(), keep](Archive& archive) { archive.store.collect(used, keep); },
      "tidying the store");
}

}  // namespace appserver::supervisor

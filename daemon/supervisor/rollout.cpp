#include "supervisor/rollout.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "supervisor/preflight.hpp"

namespace appserver::supervisor {

using control::EventKind;
using control::RolloutEvent;
using control::RolloutResult;

Rollout::Rollout(RolloutTargets targets, std::string id, std::uint64_t release,
                 RolloutRequest request, OnDone done)
    : targets_(targets),
      id_(std::move(id)),
      release_(release),
      request_(std::move(request)),
      done_(std::move(done)) {}

void Rollout::listen(std::shared_ptr<control::EventStream> listener) {
  if (listener) listeners_.push_back(std::move(listener));
}

void Rollout::emit(RolloutEvent event) {
  event.rollout = id_;
  event.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - started_);
  if (event.cut) cut_ += *event.cut;
  for (const auto& listener : listeners_) listener->send(event);
}

void Rollout::emit_text(EventKind kind, const std::string& group, const std::string& text) {
  RolloutEvent event;
  event.kind = kind;
  event.group = group;
  event.text = text;
  emit(std::move(event));
}

Group* Rollout::find(const std::string& name) const {
  const auto found = std::ranges::find_if(targets_.groups,
                                          [&](const auto& group) { return group->name() == name; });
  return found == targets_.groups.end() ? nullptr : found->get();
}

void Rollout::stop(const std::string& why) { finish(RolloutResult::stopped, why); }

void Rollout::run() {
  if (!done_) return;
  targets_.context.log.info("rollout {}: asked for by {}", id_, request_.who);
  emit_text(EventKind::rollout_started, "", fmt::format("asked for by {}", request_.who));
  if (const std::string refusal = select(); !refusal.empty()) {
    finish(RolloutResult::refused, refusal);
    return;
  }
  PrepareRequest request{targets_.running, selected_, release_};
  boost::asio::post(targets_.files, [self = shared_from_this(), request = std::move(request)] {
    auto result = std::make_shared<Prepared>(prepare(request, self->targets_.store));
    boost::asio::post(self->targets_.context.io,
                      [self, result] { self->prepared(std::move(*result)); });
  });
}

std::string Rollout::select() {
  for (const auto& name : request_.groups) {
    if (find(name) != nullptr) continue;
    std::vector<std::string> known;
    for (const auto& group : targets_.groups) known.push_back(group->name());
    return fmt::format("there is no group '{}'; the groups are: {}", name, fmt::join(known, ", "));
  }
  for (const auto& group : targets_.groups) {
    const bool named = std::ranges::find(request_.groups, group->name()) != request_.groups.end();
    if (!request_.groups.empty() && !named) continue;
    const bool rolls = group->release()->config.reloadable || (request_.force && named);
    (rolls ? selected_ : kept_).push_back(group->name());
  }
  return {};
}

void Rollout::prepared(Prepared result) {
  if (!done_) return;
  prepared_ = std::move(result);
  if (!prepared_.refusal.empty()) {
    finish(RolloutResult::refused, prepared_.refusal);
    return;
  }
  report_kept();
  preflight_next();
}

void Rollout::report_kept() {
  for (const auto& name : kept_) {
    Group& group = *find(name);
    const auto wanted = prepared_.configs.find(name);
    const bool changed =
        wanted != prepared_.configs.end() && wanted->second != group.release()->config;
    emit_text(EventKind::group_kept, name,
              changed ? fmt::format("reloadable: false; its configuration has changed: "
                                    "`appserverctl restart {}` applies it",
                                    name)
                      : "reloadable: false");
  }
}

void Rollout::preflight_next() {
  if (position_ == selected_.size()) {
    position_ = 0;
    roll_next();
    return;
  }
  const std::string& name = selected_[position_];
  const ReleasePtr release = prepared_.releases.at(name);
  try {
    preflight_ = run_preflight(
        targets_.context, *release,
        [self = shared_from_this(), release](const std::string& why_not) {
          const std::string& group = self->selected_[self->position_];
          if (!why_not.empty()) {
            self->finish(
                RolloutResult::refused,
                fmt::format("{}: {}: {}", group, plugin::describe(release->build), why_not));
            return;
          }
          RolloutEvent event;
          event.kind = EventKind::preflight;
          event.group = group;
          event.build = release->build.sha256.substr(0, 12);
          event.text = plugin::describe(release->build) + " loads";
          self->emit(std::move(event));
          ++self->position_;
          self->preflight_next();
        });
  } catch (const std::exception& error) {
    finish(RolloutResult::refused,
           fmt::format("{}: cannot run the preflight: {}", name, error.what()));
  }
}

Group::OnEvent Rollout::forward() {
  return [self = shared_from_this()](RolloutEvent event) { self->emit(std::move(event)); };
}

void Rollout::roll_next() {
  if (position_ == selected_.size()) {
    for (const auto& name : kept_) find(name)->tell_kept();
    finish_rolled();
    return;
  }
  Group& group = *find(selected_[position_]);
  before_[group.name()] = group.release();
  RolloutEvent event;
  event.kind = EventKind::group_started;
  event.group = group.name();
  event.build = prepared_.releases.at(group.name())->build.sha256.substr(0, 12);
  emit(std::move(event));
  group.roll(prepared_.releases.at(group.name()), forward(),
             [self = shared_from_this()](Outcome outcome, const std::string& why) {
               self->rolled(outcome, why);
             });
}

void Rollout::finish_rolled() {
  if (selected_.empty()) {
    finish(
        RolloutResult::done,
        fmt::format("nothing to reload: {} kept (reloadable: false); `appserverctl restart GROUP` "
                    "replaces their workers, too",
                    fmt::join(kept_, ", ")));
    return;
  }
  const std::string text =
      fmt::format("release {} runs in {}", release_, fmt::join(selected_, ", "));
  if (cut_ == 0) {
    finish(RolloutResult::done, text);
    return;
  }
  // `done` promises that nobody noticed.
  finish(RolloutResult::partial,
         fmt::format("{}, but {} {} cut while draining; see drain_timeout", text, cut_,
                     cut_ == 1 ? "connection was" : "connections were"));
}

void Rollout::rolled(Outcome outcome, const std::string& why) {
  if (!done_) return;
  const std::string& name = selected_[position_];
  if (outcome == Outcome::done) {
    emit_text(EventKind::group_done, name, "");
    ++position_;
    roll_next();
    return;
  }
  if (outcome == Outcome::stopped) {
    finish(RolloutResult::stopped, why);
    return;
  }
  emit_text(EventKind::rolled_back, name, why);
  reason_ = fmt::format("{}: {}", name, why);
  stuck_ = outcome == Outcome::partial;
  before_.erase(name);
  revert_next();
}

// The groups that were rolled before the one that failed go back, too: a reload is whole or not at
// all.
void Rollout::revert_next() {
  if (before_.empty()) {
    finish(stuck_ ? RolloutResult::partial : RolloutResult::rolled_back,
           stuck_ ? reason_ +
                        "; not every worker could be brought back to the old build: see "
                        "appserverctl status"
                  : reason_);
    return;
  }
  const auto next = before_.begin();
  const ReleasePtr release = next->second;
  Group& group = *find(next->first);
  before_.erase(next);
  group.roll(
      release, forward(),
      [self = shared_from_this(), name = group.name()](Outcome outcome, const std::string& why) {
        if (outcome == Outcome::stopped) {
          self->finish(RolloutResult::stopped, why);
          return;
        }
        if (!self->done_) return;
        self->stuck_ = self->stuck_ || outcome != Outcome::done;
        self->emit_text(EventKind::rolled_back, name, why);
        self->revert_next();
      });
}

void Rollout::finish(RolloutResult result, const std::string& text) {
  if (!done_) return;
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - started_);
  const std::string verdict = fmt::format("rollout {}: {} after {} ms: {}", id_,
                                          control::to_word(result), elapsed.count(), text);
  if (result == RolloutResult::done) {
    targets_.context.log.info("{}", verdict);
  } else {
    targets_.context.log.error("{}", verdict);
  }
  RolloutEvent event;
  event.kind = EventKind::done;
  event.result = result;
  event.text = text;
  emit(std::move(event));
  listeners_.clear();
  preflight_.reset();
  std::exchange(done_, nullptr)(result);
}

}  // namespace appserver::supervisor

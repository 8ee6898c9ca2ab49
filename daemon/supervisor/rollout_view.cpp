#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "supervisor/plan_words.hpp"
#include "supervisor/rollout.hpp"

// What a person sees of a rollout: its plan, how far it is, and its verdict in words.
namespace appserver::supervisor {

using control::EventKind;
using control::RolloutEvent;
using control::RolloutState;

std::string Rollout::describe(const GroupPlan& plan) const {
  const Group* group = find(plan.name);
  switch (plan.change) {
    case Change::keep:
      return "kept: " + plan.note;
    case Change::remove:
      return fmt::format("ends: {} workers drain", group->release()->config.count);
    case Change::add:
      return fmt::format("starts: {} workers of {}", plan.target->config.count,
                         plugin::describe(plan.target->build));
    case Change::resize:
      if (group->release()->config.count == plan.target->config.count)
        return "its configuration changes, its workers are not touched";
      return fmt::format("{} -> {} workers, those that stay are not touched",
                         group->release()->config.count, plan.target->config.count);
    case Change::roll:
      break;
  }
  const GroupRelease& before = *group->release();
  const bool same = before.build.sha256 == plan.target->build.sha256;
  std::string text =
      fmt::format("rolls: {} workers, {}{}", plan.target->config.count,
                  same ? "the same build " : "build " + short_sha(before.build) + " -> ",
                  plugin::describe(plan.target->build));
  if (before.config != plan.target->config) text += ", its configuration has changed";
  text += "; " + surge_for(plan).text;
  const config::Canary canary = canary_for(*plan.target);
  if (canary.slots > 0) {
    text += fmt::format("; canary of {} held for {} s", canary.slots,
                        std::chrono::duration_cast<std::chrono::seconds>(canary.hold).count());
  }
  if (const std::string why = why_without_canary(*plan.target); !why.empty()) text += "; " + why;
  return plan.note.empty() ? text : text + "; " + plan.note;
}

void Rollout::show_plan() {
  for (const GroupPlan& plan : prepared_.plan) {
    // Nobody else hears of what the watcher holds back.
    if (request_.watch && plan.notable)
      targets_.context.log.warning("{}: {}", plan.name, plan.note);
    if (request_.dry_run) {
      emit_text(EventKind::plan, plan.name, describe(plan));
    } else if (plan.change == Change::keep) {
      // Groups that nobody asked about are not worth a line.
      const bool asked = plan.notable || request_.groups.empty() ||
                         std::ranges::find(request_.groups, plan.name) != request_.groups.end();
      if (asked) emit_text(EventKind::group_kept, plan.name, plan.note);
    } else if (!plan.note.empty()) {
      emit_text(EventKind::message, plan.name, plan.note);
    }
  }
}

std::string Rollout::why_idle() const {
  std::vector<std::string> not_reloadable;
  std::vector<std::string> held_back;
  for (const GroupPlan& plan : prepared_.kept()) {
    if (plan.why_kept == WhyKept::not_reloadable) not_reloadable.push_back(plan.name);
    if (plan.why_kept == WhyKept::quarantined || plan.why_kept == WhyKept::unusable)
      held_back.push_back(fmt::format("{} kept: {}", plan.name, plan.note));
  }
  if (!held_back.empty()) return fmt::format("nothing was done: {}", fmt::join(held_back, "; "));
  if (not_reloadable.empty() || request_.changed)
    return "nothing to do: everything runs as asked for";
  return fmt::format(
      "nothing to reload: {} kept (reloadable: false); `appserverctl restart GROUP` "
      "replaces their workers, too",
      fmt::join(not_reloadable, ", "));
}

std::string Rollout::summary() const {
  std::vector<std::string> changed;
  std::vector<std::string> ended;
  for (const GroupPlan& plan : prepared_.plan) {
    if (plan.change == Change::keep) continue;
    (plan.change == Change::remove ? ended : changed).push_back(plan.name);
  }
  if (request_.dry_run) return "nothing was touched; without --dry-run this is what happens";
  if (changed.empty() && ended.empty()) return why_idle();
  std::string text = fmt::format("release {} runs", prepared_.release);
  if (!changed.empty()) text += fmt::format(" in {}", fmt::join(changed, ", "));
  if (!ended.empty()) text += fmt::format("; ended: {}", fmt::join(ended, ", "));
  if (request_.confirm_within) {
    text += fmt::format(
        "; within {} s type `appserverctl reload confirm`, or the release before comes back",
        std::chrono::duration_cast<std::chrono::seconds>(*request_.confirm_within).count());
  }
  return text;
}

control::RolloutStatus Rollout::status() const {
  control::RolloutStatus status;
  status.id = id_;
  status.who = request_.who;
  status.what = prepared_.what;
  status.can_abort = can_abort();
  status.elapsed = elapsed();
  if (!history_.empty()) {
    const RolloutEvent& last = history_.back();
    const std::string where =
        last.slot ? fmt::format("{}/{} ", last.group, *last.slot) : last.group + " ";
    const std::string text = fmt::format(
        "{}{}{}{}", last.group.empty() ? "" : where, control::to_words(last.kind),
        last.text.empty() || control::to_words(last.kind).empty() ? "" : ": ", last.text);
    status.text = last.result ? last.text : text;
    status.result = last.result;
    if (last.result) status.elapsed = last.elapsed;
  }
  for (const GroupPlan& plan : prepared_.plan) {
    if (plan.target) status.slots += plan.target->config.count;
  }
  if (!done_) {
    status.state = RolloutState::over;
    if (end_.release != 0) status.slots_done = status.slots;
    status.release = end_.release;
    return status;
  }
  if (!machine_) return status;
  status.release = prepared_.release;
  using State = RolloutMachine::State;
  switch (machine_->state()) {
    case State::preflight:
    case State::entering:
    case State::over:  // its verdict waits for a file
      return status;
    case State::rolling:
      status.state = RolloutState::rolling;
      break;
    case State::committing:
    case State::removing:
      status.state = RolloutState::rolling;
      status.slots_done = status.slots;
      return status;
    case State::reverting:
    case State::recording:
      status.state = RolloutState::reverting;
      break;
  }
  for (const GroupPlan& plan : prepared_.plan) {
    const Group* group = find(plan.name);
    if (!plan.target || group == nullptr) continue;
    if (group->release() == plan.target && plan.name != machine_->group())
      status.slots_done += plan.target->config.count;
  }
  if (const Group* group = find(machine_->group())) {
    const RollProgress far = group->progress();
    status.slots_done += far.slots_done;
    if (far.waits) status.state = RolloutState::waiting;
    if (far.hold_until) {
      status.state = RolloutState::holding;
      status.left = std::max(std::chrono::milliseconds(0),
                             std::chrono::duration_cast<std::chrono::milliseconds>(
                                 *far.hold_until - std::chrono::steady_clock::now()));
    }
  }
  return status;
}

}  // namespace appserver::supervisor

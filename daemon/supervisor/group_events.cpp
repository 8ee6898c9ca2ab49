#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "supervisor/clock.hpp"
#include "supervisor/group.hpp"

// The part of a group that tells of a rollout and judges its canary.
namespace appserver::supervisor {

namespace {

using control::EventKind;
using telemetry::Level;

CanaryAction action_for(CanaryVerdict verdict, config::Inconclusive policy) {
  switch (verdict) {
    case CanaryVerdict::better_or_equal:
      return CanaryAction::proceed;
    case CanaryVerdict::worse:
      return CanaryAction::roll_back;
    case CanaryVerdict::inconclusive:
      break;
  }
  switch (policy) {
    case config::Inconclusive::proceed:
      return CanaryAction::proceed;
    case config::Inconclusive::roll_back:
      return CanaryAction::roll_back;
    case config::Inconclusive::wait:
      break;
  }
  return CanaryAction::wait;
}

std::string_view words_for(CanaryAction action) {
  switch (action) {
    case CanaryAction::proceed:
      return "goes on";
    case CanaryAction::roll_back:
      return "goes back";
    case CanaryAction::wait:
      break;
  }
  return "waits for `appserverctl reload continue` or `appserverctl reload abort`";
}

}  // namespace

void Group::emit(control::RolloutEvent event) {
  event.group = name();
  if (event.slot) {
    const RollProgress far = progress();
    event.slots = far.slots;
    event.slots_done = far.slots_done;
  }
  if (on_event_) on_event_(std::move(event));
}

RollProgress Group::progress() const {
  RollProgress result;
  result.slots = static_cast<std::uint32_t>(machine_.slots().size());
  result.slots_done = static_cast<std::uint32_t>(
      std::ranges::count_if(machine_.slots(), [](const SlotView& slot) { return !slot.pending; }));
  result.hold_until = hold_until_;
  result.waits = machine_.canary_waits();
  return result;
}

void Group::carry_out(const effect::Progress& progress) {
  control::RolloutEvent event;
  event.slot = progress.slot;
  event.text = progress.text;
  if (const WorkerProcess* process = find(progress.worker)) {
    event.pid = process->pid();
    event.build = process->build().substr(0, 12);
  }
  switch (progress.step) {
    case Step::slot_starting:
      event.kind = EventKind::slot_starting;
      break;
    case Step::slot_ready:
      event.kind = EventKind::slot_ready;
      forget_loss(progress.slot, progress.worker);
      break;
    case Step::slot_draining:
      event.kind = EventKind::slot_draining;
      event.old_pid = std::exchange(event.pid, std::nullopt);
      break;
    case Step::slot_replaced:
    case Step::slot_removed:
      event.kind = EventKind::slot_replaced;
      if (progress.step == Step::slot_removed) event.text = "the slot is taken away";
      event.cut = progress.cut;
      event.handed_over = std::exchange(handed_over_[progress.slot], 0);
      if (const auto died = take_death(progress.slot)) {
        event.old_pid = died->pid;
        event.text = died->words;
      }
      tell_cut(progress.slot, progress.cut, event.old_pid.value_or(0));
      break;
    case Step::slot_failed:
      event.kind = EventKind::slot_failed;
      if (progress.text.empty()) event.text = last_exits_[progress.slot].value_or("");
      log(Level::error, progress.slot, event.pid.value_or(0),
          fmt::format("successor failed: {}", event.text));
      break;
    case Step::reverting:
      hold_until_.reset();
      event.kind = EventKind::message;
      event.text = "giving up: every slot keeps the old build, or goes back to it";
      event.slot.reset();
      log(Level::error, progress.slot, 0,
          fmt::format("going back to the release before: {}", progress.text));
      break;
  }
  emit(std::move(event));
}

std::optional<Group::Death> Group::take_death(std::uint32_t slot) {
  auto death = deaths_.extract(slot);
  return death.empty() ? std::nullopt : std::optional(std::move(death.mapped()));
}

std::string Group::describe(std::uint32_t slot, const Death& death) const {
  return fmt::format("{}/{} (pid {}): {}", name(), slot, death.pid, death.words);
}

// `died`: the pid of the worker that they were cut by, or 0.
void Group::tell_cut(std::uint32_t slot, std::uint64_t cut, pid_t died) {
  if (cut == 0) return;
  log(Level::warning, slot, died,
      fmt::format("cut {}: {} connection(s)", died == 0 ? "at the drain timeout" : "by its death",
                  cut));
}

std::map<WorkerId, CanarySample> Group::sample() const {
  std::map<WorkerId, CanarySample> samples;
  for (const auto& [id, view] : machine_.workers()) {
    const auto found = processes_.find(id);
    if (view.gate != Gate::open || found == processes_.end() || !found->second.process) continue;
    samples.emplace(id, read_sample(found->second.process->page()));
  }
  return samples;
}

void Group::carry_out(const effect::CanaryHold& hold) {
  hold_until_ = hold.until;
  at_hold_ = sample();
  control::RolloutEvent event;
  event.kind = EventKind::canary_holding;
  event.text = fmt::format("{} of {} slots run the new build; watched for {} s", canary_.slots,
                           machine_.slots().size(),
                           std::chrono::duration_cast<std::chrono::seconds>(canary_.hold).count());
  emit(std::move(event));
}

void Group::carry_out(const effect::CanaryDue&) {
  hold_until_.reset();
  CanarySample canary;
  CanarySample others;
  const std::map<WorkerId, CanarySample> samples = sample();
  for (const auto& [id, after] : samples) {
    const WorkerView* view = machine_.find(id);
    const auto before = at_hold_.find(id);
    const bool is_canary = view != nullptr && view->release == target_->number;
    (is_canary ? canary : others)
        .add(before == at_hold_.end() ? CanarySample{} : before->second, after);
  }
  at_hold_.clear();
  const CanaryJudgement judgement = judge_canary(canary, others, canary_.min_requests);
  const CanaryAction action = action_for(judgement.verdict, canary_.on_inconclusive);
  control::RolloutEvent event;
  event.kind = EventKind::canary_judged;
  event.text = fmt::format("{}; the rollout {}", judgement.text, words_for(action));
  log(action == CanaryAction::roll_back ? Level::error : Level::info, 0, 0,
      "canary: " + event.text);
  emit(std::move(event));
  // Not from here: the machine is still telling us what to do.
  boost::asio::post(context_.io, [alive = alive_, action, text = judgement.text] {
    if (*alive == nullptr) return;
    (*alive)->apply((*alive)->machine_.canary_judged(action, "canary: " + text, now()));
  });
}

void Group::carry_out(const effect::Retire& retire) {
  // A group that was added and did not come up ends as a whole: nobody is left to take over.
  if (retire.slots > 0) listeners_.retire(retire.slots);
}

void Group::carry_out(const effect::Close& close) {
  const auto is_gone = [&close](const auto& each) { return each.first >= close.slots; };
  std::erase_if(left_, is_gone);
  std::erase_if(losing_, is_gone);
  std::erase_if(lost_state_, is_gone);
  listeners_.close_retired(close.slots);
}

void Group::carry_out(const effect::RollDone& done) {
  if (done.outcome == Outcome::done) committed_ = target_;
  target_ = nullptr;
  on_event_ = nullptr;
  hold_until_.reset();
  at_hold_.clear();
  try {
    close_unused();
  } catch (const std::exception& error) {
    log(Level::error, 0, 0, fmt::format("closing addresses: {}", error.what()));
  }
  tell_gateway_size();
  // Not from here: what follows may roll this group again.
  boost::asio::post(context_.io, [rolled = std::exchange(on_rolled_, nullptr), done] {
    if (rolled) rolled(done.outcome, done.text);
  });
}

void Group::report_crash(const WorkerView& view, const Process& ended, const WorkerEnd& end,
                         const std::string& words) {
  if (!hooks_.crashed) return;
  const std::shared_ptr<WorkerProcess>& process = ended.process;
  const GroupReleasePtr release = release_of(view.release);
  control::CrashRecord record;
  record.when = std::chrono::system_clock::now();
  record.group = name();
  record.slot = view.slot;
  record.pid = process->pid();
  record.generation = ended.generation;
  record.release = release->number;
  record.reason = words;
  if (end.status.signalled) record.signal = os::signal_name(end.status.code);
  if (end.hook != telemetry::Hook::none) record.hook = telemetry::to_string(end.hook);
  record.plugin = fmt::format("{} {}", release->build.name, release->build.version);
  record.sha256 = process->build();
  record.build_id = release->build.build_id;
  record.uptime = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::steady_clock::now() - process->started());
  record.requests = process->page().requests.get();
  record.core_dumped = end.status.core;
  record.output = end.output;
  hooks_.crashed(std::move(record), process);
}

}  // namespace appserver::supervisor

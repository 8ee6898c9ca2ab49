#include "supervisor/trials.hpp"

#include <algorithm>
#include <utility>

namespace appserver::supervisor {

namespace {

using Clock = std::chrono::system_clock;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// Zero or less: its time is over.
milliseconds time_left(const Trial& trial, const std::vector<GroupReleasePtr>& running,
                       Clock::time_point clock) {
  const auto group = std::ranges::find_if(
      running, [&](const GroupReleasePtr& each) { return each->config.name == trial.group; });
  if (group == running.end()) return milliseconds(0);
  const auto left = std::chrono::duration_cast<milliseconds>(trial.until - clock);
  return std::min(left, (*group)->config.reload.confirm_within);
}

}  // namespace

Trials::Trials(const std::vector<Trial>& recorded, const std::vector<GroupReleasePtr>& running,
               Time now, Clock::time_point clock) {
  std::map<std::string, Time> windows;
  std::uint64_t release = 0;
  for (const Trial& trial : recorded) {
    const milliseconds left = time_left(trial, running, clock);
    if (left.count() <= 0 || trial.before == 0) continue;
    const bool whole = trial.release != 0 && (release == 0 || release == trial.release);
    if (!whole) {
      carried_[trial.group] = {now + left, trial.before};
      continue;
    }
    release = trial.release;
    before_ = trial.before;
    windows[trial.group] = now + left;
  }
  if (release != 0) probation_.emplace(release, std::move(windows), std::nullopt);
}

void Trials::follow(const RolloutRequest& request, const Step& step, Time now) {
  if (waits_for_confirm() && request.waits_along) {
    for (const auto& group : step.rolled) crashed_.erase(group);
    probation_->follow(step.release, step.windows);
    return;
  }
  // A change of the number of slots says nothing for or against what they run.
  if (step.rolled.empty() && !request.confirm_within) return;
  const bool back = request.kind == RolloutRequest::Kind::rollback;
  carry_over(step.rolled, now);
  probation_.reset();
  unproved_.reset();
  if (back && request.groups.empty())
    std::erase_if(carried_, [this](const auto& each) { return !crashed(each.first); });
  forget_crashes();
  if (back || step.before == 0) return;
  std::optional<Time> confirm_by;
  if (request.confirm_within) confirm_by = now + *request.confirm_within;
  if (step.windows.empty() && !confirm_by) return;
  probation_.emplace(step.release, step.windows, confirm_by);
  before_ = step.before;
}

// What another release does not touch is still to prove itself.
void Trials::carry_over(const std::vector<std::string>& rolled, Time now) {
  for (const auto& group : rolled) {
    carried_.erase(group);
    crashed_.erase(group);
  }
  std::erase_if(carried_,
                [&](const auto& each) { return each.second.until < now && !crashed(each.first); });
  if (!probation_) return;
  for (const auto& [group, until] : probation_->windows()) {
    const bool open = until > now || crashed(group);
    if (!contains(rolled, group) && open) carried_[group] = {until, before_};
  }
}

void Trials::end_probation() {
  probation_.reset();
  unproved_.reset();
  forget_crashes();
}

void Trials::confirm() {
  if (probation_) probation_->confirm();
  unproved_.reset();
}

void Trials::leave_to_people() {
  if (!probation_) return;
  probation_->leave_to_people();
  for (const auto& [group, until] : probation_->windows()) {
    if (carried(group) == nullptr) crashed_.erase(group);
  }
}

void Trials::crash_looping(const std::string& group, Time now) {
  const bool counts = probation_ && probation_->crash_looping(group, now);
  const Carried* const alone = carried(group);
  if (counts || (alone != nullptr && now <= alone->until))
    crashed_.emplace(group, words_for_crash_loop(group));
}

void Trials::tick(Time now) {
  if (!probation_) return;
  if (auto why = probation_->tick(now)) give_up(*std::move(why));
}

void Trials::give_up(std::string why) {
  if (probation_) unproved_ = std::move(why);
}

std::optional<Time> Trials::next_deadline(Time now) {
  if (!probation_) return std::nullopt;
  // Nothing that time brings makes it more due than it is.
  if (unproved_) return std::nullopt;
  const auto deadline = probation_->next_deadline(now);
  if (!deadline && why_release_is_due() == nullptr) end_probation();
  return deadline;
}

const std::string* Trials::why_release_is_due() const {
  if (!probation_) return nullptr;
  if (unproved_) return &*unproved_;
  if (probation_->is_left_to_people()) return nullptr;
  const auto found = std::ranges::find_if(
      crashed_, [&](const auto& each) { return probation_->windows().contains(each.first); });
  return found == crashed_.end() ? nullptr : &found->second;
}

void Trials::forget_crashes() {
  std::erase_if(crashed_, [this](const auto& each) {
    const bool on_probation = probation_ && probation_->windows().contains(each.first);
    return !on_probation && carried(each.first) == nullptr;
  });
}

std::optional<Trials::WayBack> Trials::take_way_back() {
  if (const std::string* const why = why_release_is_due()) {
    WayBack back{before_, probation_->release(), {}, *why};
    unproved_.reset();
    for (const auto& [group, until] : probation_->windows()) crashed_.erase(group);
    return back;
  }
  const auto found = std::ranges::find_if(
      crashed_, [this](const auto& each) { return carried(each.first) != nullptr; });
  if (found == crashed_.end()) return std::nullopt;
  WayBack back{carried(found->first)->before, 0, found->first, found->second};
  carried_.erase(found->first);
  crashed_.erase(found);
  return back;
}

std::vector<Trial> Trials::to_record(Time now, Clock::time_point clock) const {
  std::vector<Trial> result;
  const auto add = [&](const std::string& group, Time until, std::uint64_t release,
                       std::uint64_t before) {
    if (until <= now) return;
    const auto left = std::chrono::duration_cast<milliseconds>(until - now);
    result.push_back({group, clock + left, release, before});
  };
  if (probation_) {
    for (const auto& [group, until] : probation_->windows())
      add(group, until, probation_->release(), before_);
  }
  for (const auto& [group, each] : carried_) add(group, each.until, 0, each.before);
  return result;
}

const Trials::Carried* Trials::carried(const std::string& group) const {
  const auto found = carried_.find(group);
  return found == carried_.end() ? nullptr : &found->second;
}

std::set<std::uint64_t> Trials::ways_back() const {
  std::set<std::uint64_t> result;
  if (probation_) result.insert(before_);
  for (const auto& [group, each] : carried_) result.insert(each.before);
  return result;
}

}  // namespace appserver::supervisor

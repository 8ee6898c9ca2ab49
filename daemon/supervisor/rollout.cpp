#include "supervisor/rollout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "os/memory.hpp"
#include "supervisor/preflight.hpp"

namespace appserver::supervisor {

using control::EventKind;
using control::RolloutEvent;
using control::RolloutResult;

namespace {

std::string_view words_for(RolloutResult result) {
  return result == RolloutResult::rolled_back ? "rolled back" : control::to_word(result);
}

std::string_view words_for(RolloutRequest::Kind kind) {
  switch (kind) {
    case RolloutRequest::Kind::rollback:
      return "rollback";
    case RolloutRequest::Kind::scale:
      return "scaling";
    case RolloutRequest::Kind::reload:
      break;
  }
  return "reload";
}

// Empty: nobody, or none of the connections that were cut were its.
std::string who_died(const RolloutEvent& event) {
  if (!event.old_pid || !event.slot) return {};
  return fmt::format("{}/{} (pid {}): {}", event.group, *event.slot, *event.old_pid, event.text);
}

}  // namespace

Rollout::Rollout(RolloutTargets targets, std::string id, RolloutRequest request,
                 TrialsAfter trials_after, OnDone done)
    : targets_(std::move(targets)),
      id_(std::move(id)),
      request_(std::move(request)),
      trials_after_(std::move(trials_after)),
      done_(std::move(done)) {}

std::chrono::milliseconds Rollout::elapsed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               started_);
}

void Rollout::listen(std::shared_ptr<control::EventStream> listener) {
  if (!listener) return;
  std::erase_if(listeners_, [](const auto& each) { return each->is_over(); });
  for (const RolloutEvent& event : history_) listener->send(event);
  if (done_) listeners_.push_back(std::move(listener));
}

void Rollout::emit(RolloutEvent event) {
  if (!done_) return;
  event.rollout = id_;
  event.elapsed = elapsed();
  if (event.cut && machine_) machine_->add_cut(*event.cut, who_died(event));
  log_event(event);
  for (const auto& listener : listeners_) listener->send(event);
  history_.push_back(std::move(event));
  if (history_.size() > kMaxHistory) history_.pop_front();
}

// What no group says of itself; nobody may be listening.
void Rollout::log_event(const RolloutEvent& event) const {
  const bool worth_a_line =
      event.kind == EventKind::group_kept || event.kind == EventKind::group_added ||
      event.kind == EventKind::group_removed || event.kind == EventKind::rolled_back;
  if (!worth_a_line) return;
  targets_.context.log.info("rollout {}: {} {}{}{}", id_, event.group,
                            control::to_words(event.kind), event.text.empty() ? "" : ": ",
                            event.text);
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

const GroupPlan& Rollout::plan_of(const std::string& name) const {
  return *std::ranges::find(prepared_.plan, name, &GroupPlan::name);
}

void Rollout::run() {
  if (!done_) return;
  targets_.context.log.info("rollout {}: asked for by {}", id_, request_.who);
  emit_text(EventKind::rollout_started, "",
            fmt::format("{} asked for by {}", words_for(request_.kind), request_.who));
  PrepareRequest request{request_, targets_.running, {}};
  for (const auto& group : targets_.groups) {
    ran_before_.push_back(group->release());
    request.tls.emplace(group->name(), group->tls_of(*group->release()));
  }
  request.current = ran_before_;
  auto result = std::make_shared<Prepared>();
  targets_.archive.run(
      [result, request = std::move(request)](Archive& archive, const ArchiveKeeper::GivenUp&) {
        *result = prepare(request, archive);
      },
      ArchiveKeeper::kLimit,
      [self = shared_from_this(), result](const std::string& problem) {
        if (problem.empty()) {
          self->prepared(std::move(*result));
        } else {
          self->finish(RolloutResult::refused,
                       "reading the configuration and the plugins: " + problem);
        }
      });
}

void Rollout::prepared(Prepared result) {
  if (!done_) return;
  prepared_ = std::move(result);
  end_.writable = prepared_.writable;
  if (!prepared_.refusal.empty()) {
    finish(RolloutResult::refused, prepared_.refusal);
    return;
  }
  if (const std::string why = why_no_canary(); !why.empty()) {
    finish(RolloutResult::refused, why);
    return;
  }
  try {
    check_given_ports();
    if (request_.dry_run) {
      check_addresses();
    } else {
      open_groups();
    }
  } catch (const std::exception& error) {
    finish(RolloutResult::refused, error.what());
    return;
  }
  show_plan();
  std::vector<PlannedChange> plan;
  for (const GroupPlan& each : prepared_.plan) plan.push_back({each.name, each.change});
  machine_ = std::make_unique<RolloutMachine>(std::move(plan), request_.dry_run);
  apply(machine_->begin());
}

SurgePlan Rollout::surge_for(const GroupPlan& plan) const {
  SurgeInput input;
  input.surge = plan.target->config.reload.surge;
  input.reserve = plan.target->config.reload.reserve_memory.value;
  const Group* group = find(plan.name);
  input.worker_bytes = group == nullptr ? 0 : group->largest_worker();
  input.available = os::available_memory().value_or(kUnknownMemory);
  return plan_surge(input);
}

void Rollout::apply(const RolloutEffects& effects) {
  for (const RolloutEffect& effect : effects) {
    std::visit([this](const auto& what) { carry_out(what); }, effect);
  }
}

void Rollout::carry_out(const rollout_effect::Preflight& preflight) {
  const GroupReleasePtr release = plan_of(preflight.group).target;
  const auto passed = [self = shared_from_this(), release](const std::string& why_not) {
    if (!self->done_) return;
    const std::string& group = release->config.name;
    if (!why_not.empty()) {
      self->failed_group_ = group;
      self->apply(self->machine_->preflighted(
          fmt::format("{}: {}", plugin::describe(release->build), why_not)));
      return;
    }
    RolloutEvent event;
    event.kind = EventKind::preflight;
    event.group = group;
    event.build = release->build.sha256.substr(0, 12);
    event.text = plugin::describe(release->build) + " loads";
    self->emit(std::move(event));
    self->apply(self->machine_->preflighted({}));
  };
  try {
    const Group* const group = find(preflight.group);
    const TlsMaterialPtr tls =
        release->tls || group == nullptr ? release->tls : group->tls_of(*release);
    preflight_ = run_preflight(targets_.context, *release, tls, passed);
  } catch (const std::exception& error) {
    boost::asio::post(
        targets_.context.io,
        [passed, why = fmt::format("cannot run the preflight: {}", error.what())] { passed(why); });
  }
}

Group::OnEvent Rollout::forward() {
  return [self = shared_from_this()](RolloutEvent event) { self->emit(std::move(event)); };
}

void Rollout::carry_out(const rollout_effect::Roll& roll) {
  const GroupPlan& plan = plan_of(roll.group);
  const bool added = roll.change == Change::add;
  if (added) {
    targets_.groups.push_back(std::move(added_.at(roll.group)));
    added_.erase(roll.group);
  }
  Group& group = *find(roll.group);
  before_[roll.group] = group.release();
  RolloutEvent event;
  event.kind = added ? EventKind::group_added : EventKind::group_started;
  event.group = roll.group;
  event.build = plan.target->build.sha256.substr(0, 12);
  emit(std::move(event));
  RollOrder order;
  order.release = plan.target;
  order.replace = roll.change == Change::resize ? Replace::none : Replace::all;
  order.surge = surge_for(plan);
  if (added) order.surge = {plan.target->config.count, false, {}};
  if (order.surge.stop_first || order.surge.surge < plan.target->config.reload.surge)
    emit_text(EventKind::message, roll.group, order.surge.text);
  if (roll.change == Change::roll) {
    order.canary = canary_for(*plan.target);
    const std::string why = why_without_canary(*plan.target);
    if (!why.empty()) emit_text(EventKind::message, roll.group, why);
  }
  group.roll(
      order, forward(),
      [self = shared_from_this(), name = roll.group](Outcome outcome, const std::string& why) {
        if (!self->done_) return;
        if (outcome == Outcome::done) {
          self->emit_text(EventKind::group_done, name, "");
        } else if (outcome != Outcome::stopped) {
          // Another one may have had it give up.
          if (!self->machine_->gives_up()) self->failed_group_ = name;
          self->emit_text(EventKind::rolled_back, name, why);
        }
        self->apply(self->machine_->rolled(outcome, why));
      });
}

void Rollout::carry_out(const rollout_effect::Revert& revert) {
  Group& group = *find(revert.group);
  if (revert.change == Change::add) {
    // Its end is told by group_stopped().
    group.stop(false);
    return;
  }
  RollOrder order;
  order.release = before_.at(revert.group);
  order.way_back = true;
  order.replace = revert.change == Change::resize ? Replace::none : Replace::all;
  order.surge = surge_for(plan_of(revert.group));
  group.roll(
      order, forward(),
      [self = shared_from_this(), name = revert.group](Outcome outcome, const std::string& why) {
        if (!self->done_) return;
        self->emit_text(EventKind::rolled_back, name, why);
        self->apply(self->machine_->reverted(outcome, why));
      });
}

// Past the point of return its end comes by itself.
void Rollout::carry_out(const rollout_effect::GiveUp& give_up) {
  targets_.context.log.error("rollout {}: goes back: {}", id_, give_up.why);
  if (Group* group = find(give_up.group)) group->abort(give_up.why);
}

bool Rollout::crash_looping(const std::string& group) {
  if (!done_ || !machine_) return false;
  using State = RolloutMachine::State;
  const State state = machine_->state();
  if (state == State::reverting && machine_->group() == group) return true;
  if (!machine_->has_new_code_in(group)) return false;
  const bool late = state == State::committing || state == State::removing;
  if (late && std::ranges::find(end_.crash_looping, group) == end_.crash_looping.end())
    end_.crash_looping.push_back(group);
  // A way back that failed would bring in again what is known to be bad.
  if (state != State::rolling || machine_->gives_up() || !request_.reverts.empty()) return true;
  failed_group_ = group;
  apply(machine_->crash_looping(group));
  return true;
}

void Rollout::carry_out(const rollout_effect::End& end) { find(end.group)->stop(false); }

void Rollout::group_stopped(const std::string& group) {
  if (!done_ || !machine_) return;
  const bool reverting = machine_->state() == RolloutMachine::State::reverting;
  if (const Group* ended = find(group)) {
    for (const CutAtStop& cut : ended->cut_at_stop()) machine_->add_cut(cut.count, cut.by);
  }
  remove_group(group);
  if (reverting) {
    emit_text(EventKind::rolled_back, group, "it is gone again");
    apply(machine_->reverted(Outcome::done, {}));
  } else {
    emit_text(EventKind::group_removed, group, "");
    apply(machine_->ended(group));
  }
}

void Rollout::remove_group(const std::string& name) {
  std::erase_if(targets_.groups, [&](const auto& group) { return group->name() == name; });
}

void Rollout::carry_out(const rollout_effect::Finish& done) {
  if (done.result == RolloutResult::done) {
    if (end_.release != 0 || prepared_.kept().size() == prepared_.plan.size()) {
      for (const GroupPlan& plan : prepared_.kept()) {
        if (request_.dry_run || plan.why_kept != WhyKept::not_reloadable) continue;
        if (Group* group = find(plan.name)) group->tell_kept();
      }
    }
    finish(done.result, summary());
  } else if (done.result == RolloutResult::partial && end_.release != 0) {
    finish(done.result, summary() + ", but " + done.why);
  } else if (done.result == RolloutResult::refused && !failed_group_.empty()) {
    refuse_build(done.why);
  } else {
    finish(done.result, done.why);
  }
}

void Rollout::finish(RolloutResult result, const std::string& text) {
  if (!done_) return;
  const std::string verdict = fmt::format("rollout {}: {} after {} ms: {}", id_, words_for(result),
                                          elapsed().count(), text);
  if (result == RolloutResult::done) {
    targets_.context.log.info("{}", verdict);
  } else {
    targets_.context.log.error("{}", verdict);
  }
  const bool unwritten = result == RolloutResult::stopped || result == RolloutResult::refused;
  if (entered_ && unwritten) settle_record();
  // Refused: addresses that were opened for it are closed again.
  added_.clear();
  for (const GroupPlan& plan : prepared_.plan) {
    Group* group = find(plan.name);
    if (group == nullptr || group->rolling()) continue;
    try {
      group->close_unused();
    } catch (const std::exception& error) {
      // The verdict comes all the same.
      targets_.context.log.error("{}: closing addresses: {}", plan.name, error.what());
    }
  }
  RolloutEvent event;
  event.kind = EventKind::done;
  event.result = result;
  event.text = text;
  emit(std::move(event));
  const auto done = std::exchange(done_, nullptr);
  listeners_.clear();
  preflight_.reset();
  end_.result = result;
  end_.text = text;
  end_.watch = request_.watch;
  const bool looked = request_.kind == RolloutRequest::Kind::reload && !request_.dry_run;
  end_.rolled = rolled();
  for (const GroupPlan& plan : prepared_.plan) {
    const bool unchanged = plan.change == Change::keep && plan.why_kept == WhyKept::unchanged &&
                           result == RolloutResult::done;
    const bool changed = plan.change != Change::keep && end_.release != 0;
    if (looked && (unchanged || changed)) end_.as_asked.push_back(plan.name);
    if (plan.notable && !request_.dry_run)
      end_.not_done.push_back(fmt::format("{}: {}", plan.name, plan.note));
  }
  const auto is_unusable = [](const GroupPlan& plan) {
    return plan.change == Change::keep && plan.why_kept == WhyKept::unusable;
  };
  const bool ended =
      std::ranges::find(prepared_.plan, Change::remove, &GroupPlan::change) != prepared_.plan.end();
  end_.made_room = end_.release != 0 && ended && std::ranges::any_of(prepared_.plan, is_unusable);
  done(end_);
}

void Rollout::stop(const std::string& why) {
  if (machine_ && machine_->state() != RolloutMachine::State::over) {
    apply(machine_->stop(why));
  } else {
    finish(RolloutResult::stopped, why);
  }
}

// Before anything is touched.
bool Rollout::is_untouched() const {
  return machine_->state() == RolloutMachine::State::preflight ||
         machine_->state() == RolloutMachine::State::entering;
}

bool Rollout::can_abort() const {
  if (!done_) return false;
  if (!machine_ || is_untouched()) return true;
  const Group* group = find(machine_->group());
  return machine_->state() == RolloutMachine::State::rolling && group != nullptr &&
         group->can_abort();
}

std::string Rollout::abort(const std::string& who) {
  const std::string why = "aborted by " + who;
  if (done_ && !machine_) {
    finish(RolloutResult::refused, why);
    return fmt::format("{} is refused; nothing was touched", id_);
  }
  if (done_ && is_untouched()) {
    apply(machine_->abort(why));
    return fmt::format("{} is refused; nothing was touched", id_);
  }
  if (done_ && machine_->state() == RolloutMachine::State::over)
    throw control::Conflict(fmt::format("{} is refused already; nothing was touched", id_));
  Group* group = machine_ ? find(machine_->group()) : nullptr;
  const bool rolling = done_ && machine_->state() == RolloutMachine::State::rolling;
  if (rolling && group != nullptr && group->abort(why))
    return fmt::format("{} goes back; `appserverctl reload watch` shows how far it is", id_);
  const bool going_back =
      done_ && machine_ &&
      (machine_->gives_up() || machine_->state() == RolloutMachine::State::reverting ||
       machine_->state() == RolloutMachine::State::recording ||
       (group != nullptr && group->going_back()));
  if (going_back) throw control::Conflict(fmt::format("{} is going back already", id_));
  throw control::Conflict(done_ ? fmt::format("{} is past the point where it could go back: it "
                                              "ends by itself, then `appserverctl rollback` can",
                                              id_)
                                : std::string("no rollout is running"));
}

std::string Rollout::proceed(const std::string& who) {
  Group* group = done_ && machine_ ? find(machine_->group()) : nullptr;
  if (group != nullptr && group->proceed(who)) {
    targets_.context.log.info("rollout {}: {} lets the canary go on", id_, who);
    return fmt::format("{} goes on; `appserverctl reload watch` shows how far it is", id_);
  }
  throw control::Conflict("no canary waits for a person");
}

}  // namespace appserver::supervisor

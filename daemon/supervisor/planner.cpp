#include "supervisor/planner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "supervisor/builds.hpp"
#include "supervisor/plan_words.hpp"
#include "supervisor/start_notes.hpp"
#include "supervisor/tls_notes.hpp"
#include "supervisor/wanted_groups.hpp"

namespace appserver::supervisor {
namespace {

using RequestKind = RolloutRequest::Kind;

GroupPlan keep(const std::string& name, WhyKept why, std::string note, bool notable = false) {
  GroupPlan plan;
  plan.name = name;
  plan.why_kept = why;
  plan.note = std::move(note);
  plan.notable = notable;
  return plan;
}

std::string why_kept(const GroupRelease& running, const GroupRelease& wanted) {
  if (wanted.config == running.config) return "reloadable: false";
  return fmt::format(
      "reloadable: false; its configuration has changed: `appserverctl restart {}` applies it",
      running.config.name);
}

}  // namespace

// Those with reloadable: false change only where somebody asks for just that, or what they run is
// taken back.
bool Planner::overrides_reloadable(const std::string& name) const {
  if (!request_.reverts.empty()) return true;
  return input_.names(name) && (request_.force || request_.kind == RequestKind::rollback);
}

void Planner::take_in(GroupRelease& group) {
  if (request_.kind == RequestKind::reload) {
    group.build = take_in_build(group.config, input_.running.daemon.plugins, archive_.store);
    return;
  }
  if (has_build(group.config, group.build, archive_.store)) return;
  if (!is_stored(group.build)) {
    // The one that is built in may have been another before the daemon was restarted.
    group.build = take_in_build(group.config, input_.running.daemon.plugins, archive_.store);
    return;
  }
  if (request_.kind == RequestKind::scale) {
    throw std::runtime_error(fmt::format(
        "build {}, which runs, is missing from the store or damaged: there can be no new workers "
        "of it; `appserverctl reload {}` takes the file",
        short_sha(group.build), group.config.name));
  }
  throw std::runtime_error(
      fmt::format("build {} of release {} is no longer in the store; daemon.plugins.keep says how "
                  "many stay",
                  short_sha(group.build), back_to_));
}

// What goes back, or only changes its number, is not held up by files that were damaged meanwhile:
// the group has what it serves with.
void Planner::take_in_tls(GroupRelease& group, const GroupRelease* running) const {
  const bool has_it = running != nullptr && running->config.tls == group.config.tls;
  const bool looks_at_files = request_.kind == RequestKind::reload && request_.reverts.empty();
  if (has_it && !looks_at_files) return;
  group.tls =
      load_tls_of(group.config, looks_at_files ? input_.tls_of(group.config.name) : nullptr);
}

void Planner::take_in_link(GroupRelease& group, const GroupRelease* running) const {
  const bool has_it = running != nullptr && running->config.link.tls == group.config.link.tls;
  const bool looks_at_files = request_.kind == RequestKind::reload && request_.reverts.empty();
  if (!has_it || looks_at_files) group.link = load_link_of(group.config);
}

// Puts into the plan why, and whether that means to keep what runs.
bool Planner::stopped_by_quarantine(GroupPlan& plan, const GroupRelease& group) const {
  const Quarantine::Entry* const entry = archive_.quarantine.find(group.build.sha256);
  if (entry == nullptr) return false;
  if (!request_.watch) {
    plan.note = fmt::format("build {} is tried though it was quarantined: {}",
                            short_sha(group.build), entry->why);
    return false;
  }
  plan.note =
      fmt::format("build {} is quarantined ({}); `appserverctl reload {}` tries it all the same",
                  short_sha(group.build), entry->why, plan.name);
  plan.why_kept = WhyKept::quarantined;
  plan.notable = true;
  return true;
}

// A reload leaves a group that is not reloadable with the addresses it has.
std::string Planner::how_to_free(const GroupRelease& holder) const {
  const std::string& name = holder.config.name;
  if (holder.config.reloadable || overrides_reloadable(name))
    return "take it away there first, then reload again";
  return fmt::format(
      "take it away there first, with `appserverctl reload --force {}` (it is not reloadable), "
      "then "
      "reload again",
      name);
}

// Of others, or what of its own would have to go first: the kernel has each port once.
std::string Planner::addresses_in_use(const config::Group& group) const {
  std::string problems;
  for (const config::Listen& listen : group.addresses()) {
    for (const GroupReleasePtr& other : input_.current) {
      const std::string& name = other->config.name;
      const auto open = other->config.addresses();
      const bool own = name == group.name;
      if (own && std::ranges::find(open, listen) != open.end()) continue;
      const auto found = std::ranges::find_if(
          open, [&listen](const config::Listen& each) { return each.overlaps(listen); });
      if (found == open.end()) continue;
      const std::string overlap =
          *found == listen ? "" : fmt::format(", which overlaps with {},", listen.text);
      add_line(
          problems,
          fmt::format("groups.{}.listen: group {} listens on {}{} until this reload is over; {}",
                      group.name, name, found->text, overlap,
                      own ? "change it by way of another address, or restart appserverd"
                          : how_to_free(*other)));
    }
  }
  return problems;
}

// Throws where workers could not become who they are to be. An address in use is a refusal; for the
// watcher, of a dropped group, it is one that waits, too.
void Planner::check(const config::Group& group) {
  check_identity(group);
  if (request_.kind == RequestKind::reload)
    check_folders(group, input_.current, input_.running.daemon);
  const std::string in_use = addresses_in_use(group);
  if (in_use.empty()) return;
  if (request_.watch && group.dropped) throw std::runtime_error(in_use);
  add_line(result_.refusal, in_use);
}

GroupPlan Planner::decide(GroupRelease group) {
  const std::string name = group.config.name;
  const GroupRelease* const running = input_.find(name);
  GroupPlan plan;
  plan.name = name;
  if (!input_.selects(name)) {
    return keep(name, WhyKept::not_asked_for, "not asked for");
  }
  const bool untouchable = running != nullptr && !running->config.reloadable &&
                           request_.kind != RequestKind::scale && !overrides_reloadable(name);
  if (untouchable) {
    if (request_.kind == RequestKind::rollback) group = *running;
    return keep(name, WhyKept::not_reloadable, why_kept(*running, group),
                group.config != running->config);
  }
  try {
    check(group.config);
    take_in_tls(group, running);
    take_in_link(group, running);
  } catch (const std::exception& error) {
    if (!request_.watch || !group.config.dropped) throw;
    return keep(name, WhyKept::unusable, error.what(), true);
  }
  try {
    take_in(group);
  } catch (const std::exception& error) {
    if (!request_.watch) throw;
    // What else was dropped is not to wait for this file.
    return keep(name, WhyKept::unusable, fmt::format("its plugin is no good: {}", error.what()),
                true);
  }
  for (const TlsNote& note : group.tls ? notes_of(*group.tls, tls_now()) : std::vector<TlsNote>{})
    add_line(plan.note, "tls: " + note.text);
  group.number = result_.release;
  const bool same_build = running != nullptr && running->build.sha256 == group.build.sha256;
  if (!same_build && stopped_by_quarantine(plan, group)) return plan;
  plan.change = change_for(running, group);
  if (plan.change == Change::keep) return keep(name, WhyKept::unchanged, "unchanged");
  plan.target = std::make_shared<const GroupRelease>(std::move(group));
  return plan;
}

// A plain reload replaces every worker; all else only what differs.
Change Planner::change_for(const GroupRelease* running, const GroupRelease& wanted) const {
  if (running == nullptr) return Change::add;
  const bool same_build = running->build.sha256 == wanted.build.sha256;
  if (!same_build || needs_new_workers(running->config, wanted.config)) return Change::roll;
  if (request_.kind == RequestKind::reload && !request_.changed) return Change::roll;
  return running->config == wanted.config ? Change::keep : Change::resize;
}

GroupPlan Planner::decide_missing(const GroupRelease& group) const {
  const std::string& name = group.config.name;
  if (!input_.selects(name))
    return keep(name, WhyKept::not_asked_for, "not asked for; it is gone from the file");
  if (request_.watch && !request_.taken_away.contains(name))
    return keep(name, WhyKept::missing, note_of_missing(group), true);
  if (!group.config.reloadable && !overrides_reloadable(name)) {
    const std::string note =
        request_.kind == RequestKind::rollback
            ? fmt::format(
                  "reloadable: false; release {} did not have it: `appserverctl rollback "
                  "--to {} {}` ends it",
                  back_to_, back_to_, name)
            : fmt::format(
                  "reloadable: false; it is gone from the file: `appserverctl reload "
                  "--force {}` ends it",
                  name);
    return keep(name, WhyKept::not_reloadable, note, true);
  }
  GroupPlan plan;
  plan.name = name;
  plan.change = Change::remove;
  return plan;
}

// What was dropped, and of which nothing good is known: kept as it runs.
void Planner::note_mistakes(const std::vector<Unread>& mistakes) {
  std::size_t told = 0;
  for (const Unread& mistake : mistakes) {
    if (input_.find(mistake.name) == nullptr && ++told > kMostNewMistakes) continue;
    const auto found = std::ranges::find(result_.plan, mistake.name, &GroupPlan::name);
    if (found == result_.plan.end()) {
      result_.plan.push_back(keep(mistake.name, WhyKept::unusable, mistake.note, true));
      continue;
    }
    // A group of the file has the name.
    found->note += (found->note.empty() ? "" : "; ") + mistake.note;
    found->notable = true;
  }
}

void Planner::remove_missing(const WantedGroups& wanted) {
  for (const GroupReleasePtr& group : input_.current) {
    const std::string& name = group->config.name;
    if (std::ranges::find(result_.plan, name, &GroupPlan::name) != result_.plan.end()) continue;
    const auto kept = std::ranges::find(wanted.kept_dropped, name, &Unread::name);
    if (kept != wanted.kept_dropped.end() && input_.selects(name)) {
      result_.plan.push_back(keep(name, WhyKept::unusable, kept->note, true));
    } else {
      result_.plan.push_back(decide_missing(*group));
    }
  }
}

void Planner::decide_all(const WantedGroups& wanted) {
  for (const GroupRelease& group : wanted.groups) {
    try {
      result_.plan.push_back(decide(group));
    } catch (const std::exception& error) {
      const std::string text = error.what();
      const std::string key = fmt::format("groups.{}.", group.config.name);
      add_line(result_.refusal,
               text.starts_with(key) ? text : fmt::format("{}plugin: {}", key, text));
    }
  }
  note_mistakes(wanted.mistakes);
  remove_missing(wanted);
}

Prepared Planner::plan() {
  result_.release = archive_.releases.next_number();
  const WantedGroups wanted = find_wanted_groups(input_, archive_);
  back_to_ = wanted.back_to;
  // With one group of the one and another of the other it is a release of its own.
  if (request_.groups.empty()) result_.origin = back_to_;
  result_.asked_for = wanted.asked_for;
  result_.refusal = wanted.refusal;
  add_line(result_.refusal, unknown_names(input_, wanted.groups));
  if (!result_.refusal.empty()) return result_;
  decide_all(wanted);
  // A group that is new but not asked for is no group yet.
  std::erase_if(result_.plan, [this](const GroupPlan& plan) {
    return plan.change == Change::keep && !plan.notable && input_.find(plan.name) == nullptr;
  });
  result_.what = describe(input_, result_.plan, back_to_);
  return result_;
}

}  // namespace appserver::supervisor

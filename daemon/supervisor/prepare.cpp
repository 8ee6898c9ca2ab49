#include "supervisor/prepare.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "config/load.hpp"
#include "os/privileges.hpp"

namespace appserver::supervisor {
namespace {

using Kind = RolloutRequest::Kind;

void add_line(std::string& text, const std::string& line) {
  if (!text.empty()) text += '\n';
  text += line;
}

std::string short_sha(const plugin::Build& build) { return build.sha256.substr(0, 7); }

// What a running daemon cannot take over from a changed file.
std::string needs_restart(const config::Daemon& running, const config::Daemon& wanted) {
  std::string result;
  const auto compare = [&](const char* key, bool same) {
    if (same) return;
    add_line(result, fmt::format("daemon.{} has changed; that needs a restart of appserverd", key));
  };
  compare("control.socket", running.control_socket == wanted.control_socket);
  compare("state_dir", running.state_dir == wanted.state_dir);
  compare("plugins", running.plugins == wanted.plugins);
  compare("log", running.log == wanted.log);
  return result;
}

// Decides group by group; one object a rollout.
class Planner {
 public:
  Planner(const PrepareRequest& request, Archive& archive)
      : request_(request.request), current_(request.current), archive_(archive) {}

  Prepared plan(const config::Config& running);

 private:
  const GroupRelease* find(const std::string& name) const;
  bool is_named(const std::string& name) const;
  bool overrides_reloadable(const std::string& name) const;
  bool is_selected(const std::string& name) const {
    return request_.groups.empty() || is_named(name);
  }
  std::vector<GroupRelease> wanted(const config::Config& running);
  std::vector<GroupRelease> from_file(const config::Config& running);
  const Release& release_to_go_back_to(const Release& committed);
  bool runs_differently(const Release& release) const;
  std::vector<GroupRelease> from_record();
  std::vector<GroupRelease> scaled() const;
  void check_names(const std::vector<GroupRelease>& wanted);
  GroupPlan decide(GroupRelease group);
  GroupPlan keep(const std::string& name, WhyKept why, std::string note,
                 bool notable = false) const;
  std::string why_kept(const GroupRelease& running, const GroupRelease& wanted) const;
  Change change_for(const GroupRelease* running, const GroupRelease& wanted) const;
  void take_in(GroupRelease& group);
  bool stopped_by_quarantine(GroupPlan& plan, const GroupRelease& group) const;
  void check_addresses(const config::Group& group);
  void remove_missing(const std::vector<GroupRelease>& wanted);
  GroupPlan decide_missing(const GroupRelease& group) const;
  std::string describe(const GroupPlan& plan) const;
  std::string describe() const;

  const RolloutRequest& request_;
  const std::vector<GroupReleasePtr>& current_;
  Archive& archive_;
  std::uint64_t back_to_ = 0;  // the release that a rollback takes groups from
  Prepared result_;
};

const GroupRelease* Planner::find(const std::string& name) const {
  const auto found = std::ranges::find_if(
      current_, [&](const GroupReleasePtr& group) { return group->config.name == name; });
  return found == current_.end() ? nullptr : found->get();
}

bool Planner::is_named(const std::string& name) const {
  return std::ranges::find(request_.groups, name) != request_.groups.end();
}

// Those with reloadable: false change only where somebody asks for just that, or what they run is
// taken back.
bool Planner::overrides_reloadable(const std::string& name) const {
  if (!request_.reverts.empty()) return true;
  return is_named(name) && (request_.force || request_.kind == Kind::rollback);
}

std::vector<GroupRelease> Planner::from_file(const config::Config& running) {
  std::vector<GroupRelease> result;
  if (running.file.empty()) {
    for (const GroupReleasePtr& group : current_) result.push_back(*group);
    config::Config asked;
    for (const GroupRelease& group : result) asked.groups.push_back(group.config);
    result_.asked_for = fingerprint(asked);
    return result;
  }
  const config::Config wanted = config::load_file(running.file);
  result_.refusal = needs_restart(running.daemon, wanted.daemon);
  result_.asked_for = fingerprint(wanted);
  for (const config::Group& group : wanted.groups) {
    GroupRelease release;
    release.config = group;
    release.file_count = group.count;
    // Set by `scale`, it stays until the file says something else.
    const GroupRelease* now = find(group.name);
    if (now != nullptr && now->file_count == group.count) release.config.count = now->config.count;
    result.push_back(std::move(release));
  }
  return result;
}

// Whether going there would bring anything: for the groups asked about, where they ran there; for
// all, also where other groups ran.
bool Planner::runs_differently(const Release& release) const {
  if (request_.groups.empty() && release.groups.size() != current_.size()) return true;
  return std::ranges::any_of(release.groups, [this](const GroupReleasePtr& group) {
    if (!is_selected(group->config.name)) return false;
    const GroupRelease* now = find(group->config.name);
    return now == nullptr || now->build.sha256 != group->build.sha256 ||
           now->config != group->config;
  });
}

const Release& Planner::release_to_go_back_to(const Release& committed) {
  if (request_.to) {
    const Release* release = archive_.releases.find(*request_.to);
    if (release != nullptr) return *release;
    throw std::runtime_error(
        fmt::format("there is no record of release {}; `appserverctl history` shows what there is",
                    *request_.to));
  }
  // What runs need not be what is committed: it waits for a confirm, or could not be taken back.
  // And releases that changed nothing, or other groups only, would bring nothing back.
  const Release* release = archive_.releases.find(committed.number);
  while (release != nullptr && !runs_differently(*release))
    release = release_before(archive_.releases.all(), release->number);
  if (release != nullptr) return *release;
  check_names({});
  if (!result_.refusal.empty()) throw std::runtime_error(result_.refusal);
  throw std::runtime_error(
      request_.groups.empty()
          ? std::string("there is no earlier release that ran anything else than now")
          : fmt::format("there is no earlier release in which {} ran otherwise than now; "
                        "`appserverctl history` shows what there is",
                        fmt::join(request_.groups, ", ")));
}

std::vector<GroupRelease> Planner::from_record() {
  const auto committed = archive_.releases.committed();
  if (!committed) throw std::runtime_error("no release was committed yet");
  const Release* const release = &release_to_go_back_to(committed->release);
  back_to_ = release->origin != 0 ? release->origin : release->number;
  // With one group of the one and another of the other it is a release of its own.
  if (request_.groups.empty()) result_.origin = back_to_;
  result_.asked_for = committed->asked_for;
  std::vector<GroupRelease> result;
  for (const GroupReleasePtr& group : release->groups) {
    const GroupRelease* const now = find(group->config.name);
    if (is_selected(group->config.name)) {
      result.push_back(*group);
      // Who scaled meanwhile meant the load, not the release that is taken back.
      const bool scaled = now != nullptr && now->file_count == group->file_count;
      if (scaled && !request_.reverts.empty()) result.back().config.count = now->config.count;
    } else if (now != nullptr) {
      result.push_back(*now);
    }
  }
  if (request_.groups.empty()) return result;
  // Those that are not asked about stay, also where that release did not have them.
  for (const GroupReleasePtr& group : current_) {
    const bool there = std::ranges::any_of(
        result, [&](const GroupRelease& each) { return each.config.name == group->config.name; });
    if (!there && !is_named(group->config.name)) result.push_back(*group);
  }
  return result;
}

std::vector<GroupRelease> Planner::scaled() const {
  std::vector<GroupRelease> result;
  for (const GroupReleasePtr& group : current_) {
    result.push_back(*group);
    if (is_named(group->config.name)) result.back().config.count = request_.count;
  }
  return result;
}

std::vector<GroupRelease> Planner::wanted(const config::Config& running) {
  switch (request_.kind) {
    case Kind::rollback:
      return from_record();
    case Kind::scale:
      result_.asked_for =
          archive_.releases.committed() ? archive_.releases.committed()->asked_for : std::string();
      return scaled();
    case Kind::reload:
      break;
  }
  return from_file(running);
}

void Planner::check_names(const std::vector<GroupRelease>& wanted) {
  for (const auto& name : request_.groups) {
    const bool known =
        find(name) != nullptr || std::ranges::any_of(wanted, [&](const GroupRelease& group) {
          return group.config.name == name;
        });
    if (known) continue;
    std::vector<std::string> names;
    for (const GroupReleasePtr& group : current_) names.push_back(group->config.name);
    add_line(result_.refusal, fmt::format("there is no group '{}'; the groups are: {}", name,
                                          fmt::join(names, ", ")));
  }
}

GroupPlan Planner::keep(const std::string& name, WhyKept why, std::string note,
                        bool notable) const {
  GroupPlan plan;
  plan.name = name;
  plan.why_kept = why;
  plan.note = std::move(note);
  plan.notable = notable;
  return plan;
}

std::string Planner::why_kept(const GroupRelease& running, const GroupRelease& wanted) const {
  if (wanted.config == running.config) return "reloadable: false";
  return fmt::format(
      "reloadable: false; its configuration has changed: `appserverctl restart {}` applies it",
      running.config.name);
}

void Planner::take_in(GroupRelease& group) {
  if (request_.kind == Kind::reload) {
    group.build = archive_.store.add(group.config.plugin);
    return;
  }
  if (archive_.store.holds(group.build)) return;
  if (request_.kind == Kind::scale) {
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

void Planner::check_addresses(const config::Group& group) {
  for (const config::Listen& listen : group.listen) {
    if (!listen.is_unix() && listen.port == 0) continue;
    for (const GroupReleasePtr& other : current_) {
      if (other->config.name == group.name) continue;
      if (std::ranges::find(other->config.listen, listen) == other->config.listen.end()) continue;
      add_line(result_.refusal,
               fmt::format("groups.{}.listen: group {} listens on {} until this reload is over; "
                           "take it away there first, then reload again",
                           group.name, other->config.name, listen.text));
    }
  }
}

GroupPlan Planner::decide(GroupRelease group) {
  const std::string name = group.config.name;
  const GroupRelease* const running = find(name);
  GroupPlan plan;
  plan.name = name;
  if (!is_selected(name)) {
    return keep(name, WhyKept::not_asked_for, "not asked for");
  }
  const bool untouchable = running != nullptr && !running->config.reloadable &&
                           request_.kind != Kind::scale && !overrides_reloadable(name);
  if (untouchable) {
    if (request_.kind == Kind::rollback) group = *running;
    return keep(name, WhyKept::not_reloadable, why_kept(*running, group),
                group.config != running->config);
  }
  check_identity(group.config);
  check_addresses(group.config);
  try {
    take_in(group);
  } catch (const std::exception& error) {
    if (!request_.watch) throw;
    // What else was dropped is not to wait for this file.
    return keep(name, WhyKept::unusable, fmt::format("its plugin is no good: {}", error.what()),
                true);
  }
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
  if (request_.kind == Kind::reload && !request_.changed) return Change::roll;
  return running->config == wanted.config ? Change::keep : Change::resize;
}

GroupPlan Planner::decide_missing(const GroupRelease& group) const {
  const std::string& name = group.config.name;
  if (!is_selected(name))
    return keep(name, WhyKept::not_asked_for, "not asked for; it is gone from the file");
  if (!group.config.reloadable && !overrides_reloadable(name)) {
    const std::string note =
        request_.kind == Kind::rollback
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

void Planner::remove_missing(const std::vector<GroupRelease>& wanted) {
  for (const GroupReleasePtr& group : current_) {
    const bool there = std::ranges::any_of(
        wanted, [&](const GroupRelease& each) { return each.config.name == group->config.name; });
    if (!there) result_.plan.push_back(decide_missing(*group));
  }
}

std::string Planner::describe(const GroupPlan& plan) const {
  constexpr std::string_view kConfigurationToo = " and its configuration";
  const GroupRelease* const running = find(plan.name);
  switch (plan.change) {
    case Change::keep:
      break;
    case Change::add:
      return fmt::format("+{} {}", plan.name, short_sha(plan.target->build));
    case Change::remove:
      return "-" + plan.name;
    case Change::resize: {
      const std::uint32_t count = plan.target->config.count;
      if (running->config.count == count) return fmt::format("the configuration of {}", plan.name);
      config::Group resized = running->config;
      resized.count = count;
      return fmt::format("{} x{} -> x{}{}", plan.name, running->config.count, count,
                         resized == plan.target->config ? "" : kConfigurationToo);
    }
    case Change::roll: {
      const bool same = running->build.sha256 == plan.target->build.sha256;
      std::string text = fmt::format("{} {}", plan.name, short_sha(running->build));
      if (!same) text += " -> " + short_sha(plan.target->build);
      if (running->config != plan.target->config) text += kConfigurationToo;
      return text;
    }
  }
  return {};
}

std::string Planner::describe() const {
  std::vector<std::string> words;
  for (const GroupPlan& plan : result_.plan) {
    if (plan.change != Change::keep) words.push_back(describe(plan));
  }
  const std::string all = fmt::format("{}", fmt::join(words, ", "));
  return back_to_ == 0 ? all : fmt::format("back to {}: {}", back_to_, all);
}

Prepared Planner::plan(const config::Config& running) {
  result_.release = archive_.releases.next_number();
  const std::vector<GroupRelease> groups = wanted(running);
  check_names(groups);
  if (!result_.refusal.empty()) return result_;
  for (const GroupRelease& group : groups) {
    try {
      result_.plan.push_back(decide(group));
    } catch (const std::exception& error) {
      const std::string text = error.what();
      const std::string key = fmt::format("groups.{}.", group.config.name);
      add_line(result_.refusal,
               text.starts_with(key) ? text : fmt::format("{}plugin: {}", key, text));
    }
  }
  remove_missing(groups);
  // A group that is new but not asked for is no group yet.
  std::erase_if(result_.plan, [this](const GroupPlan& plan) {
    return plan.change == Change::keep && !plan.notable && find(plan.name) == nullptr;
  });
  result_.what = describe();
  return result_;
}

}  // namespace

std::vector<GroupPlan> Prepared::kept() const {
  std::vector<GroupPlan> result;
  std::ranges::copy_if(plan, std::back_inserter(result),
                       [](const GroupPlan& each) { return each.change == Change::keep; });
  return result;
}

bool needs_new_workers(const config::Group& running, const config::Group& wanted) {
  // What the supervisor alone goes by.
  config::Group neutral = wanted;
  neutral.count = running.count;
  neutral.reloadable = running.reloadable;
  neutral.plugin = running.plugin;
  neutral.recycle = running.recycle;
  neutral.hang_timeout = running.hang_timeout;
  const milliseconds drain_timeout = wanted.reload.drain_timeout;
  neutral.reload = running.reload;
  // A worker that loses its supervisor drains by it.
  neutral.reload.drain_timeout = drain_timeout;
  return neutral != running;
}

void check_identity(const config::Group& group) {
  if (group.user.empty()) {
    if (!group.group.empty())
      throw std::runtime_error(fmt::format("groups.{}.group: name a `user`, too", group.name));
    return;
  }
  os::Identity identity;
  try {
    identity = os::find_identity(group.user, group.group);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.user: {}", group.name, error.what()));
  }
  if (::geteuid() == 0 || ::geteuid() == identity.uid) return;
  throw std::runtime_error(fmt::format(
      "groups.{}.user: becoming '{}' needs appserverd to run as root", group.name, group.user));
}

Prepared prepare(const PrepareRequest& request, Archive& archive) {
  try {
    return Planner(request, archive).plan(request.running);
  } catch (const std::exception& error) {
    Prepared refused;
    refused.refusal = error.what();
    return refused;
  }
}

}  // namespace appserver::supervisor

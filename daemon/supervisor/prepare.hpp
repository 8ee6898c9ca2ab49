// The part of a rollout that reads files and decides what changes: it may take as long as the disk
// does, so it runs off the supervisor's loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "supervisor/archive.hpp"
#include "supervisor/release.hpp"
#include "supervisor/rollout_machine.hpp"

namespace appserver::supervisor {

// What a rollout is asked to do.
struct RolloutRequest {
  enum class Kind { reload, rollback, scale };

  Kind kind = Kind::reload;
  std::vector<std::string> groups;  // empty: all
  // Also those with reloadable: false, where they are named. Not needed where a rollback names them
  // or takes a release back.
  bool force = false;
  bool changed = false;  // only those whose build or configuration has changed
  bool watch = false;    // the plugin folder changed: leave quarantined builds alone
  // With `watch`: NAMEs whose NAME.yaml was seen to be taken away. What else is gone runs on: its
  // folder is perhaps not mounted, or another one was put in its place.
  std::set<std::string> taken_away;
  bool dry_run = false;
  std::optional<std::uint32_t> canary;
  std::optional<milliseconds> hold;
  std::optional<milliseconds> confirm_within;
  // Rollback: the release; else the newest of those before in which something ran otherwise than
  // now, with `groups` one of them.
  std::optional<std::uint64_t> to;
  std::uint32_t count = 0;   // scale
  std::string reverts;       // rollback: why the daemon itself goes back; else empty
  bool waits_along = false;  // the release before waits for a confirm, so this one does
  std::string who;           // for the log and the history

  friend bool operator==(const RolloutRequest&, const RolloutRequest&) = default;
};

struct PrepareRequest {
  RolloutRequest request;
  config::Config running;                       // for its file and `daemon:` section
  std::vector<GroupReleasePtr> current;         // of every group, in order
  std::map<std::string, TlsMaterialPtr> tls{};  // in use, by group; those without have none

  // What runs of a group; null where it does not.
  const GroupRelease* find(const std::string& name) const;
  // With what it serves under TLS; null where it does not.
  const TlsMaterial* tls_of(const std::string& name) const;
  // Whether it is asked about by name; selects() also where all are asked about.
  bool names(const std::string& name) const;
  bool selects(const std::string& name) const { return request.groups.empty() || names(name); }
};

enum class WhyKept { unchanged, not_reloadable, not_asked_for, quarantined, unusable, missing };

// One group of the plan; one that is kept may be a group that is not running yet.
struct GroupPlan {
  std::string name;
  Change change = Change::keep;
  WhyKept why_kept = WhyKept::unchanged;  // where it is kept
  GroupReleasePtr target;                 // unless it is kept or removed
  std::string note;                       // why it is kept, or what else a person should know
  bool notable = false;                   // something is asked for that this rollout does not do
};

struct Prepared {
  std::string refusal;          // why nothing may be touched; empty: all is well
  bool writable = false;        // the state directory is, whatever else is refused
  std::uint64_t release = 0;    // number of what comes out
  std::uint64_t origin = 0;     // the release gone back to as a whole
  std::string asked_for;        // fingerprint of the configuration
  std::string what;             // in the words of the history
  std::vector<GroupPlan> plan;  // in the order of the wanted configuration; removals last
  std::vector<GroupPlan> kept() const;
};

// Throws, naming the key, where workers could not become the user that the group asks for.
void check_identity(const config::Group& group);

// Throws, naming the key, where a unix socket is to be in a folder that is not there. Not of that
// of the control socket, nor of what any group listened at `before`: these are made again,
// as after a boot that has emptied /run.
void check_folders(const config::Group& wanted, const std::vector<GroupReleasePtr>& before,
                   const config::Daemon& daemon);

// Whether workers that run with `running` must be replaced to run with `wanted`.
bool needs_new_workers(const config::Group& running, const config::Group& wanted);

// Never throws: what goes wrong is a refusal.
Prepared prepare(const PrepareRequest& request, Archive& archive);

}  // namespace appserver::supervisor

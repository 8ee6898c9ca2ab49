// What the control API answers, as values and as JSON. The JSON is the stable interface: keys are
// only ever added, and every key is always present (null where there is nothing to say). A reader
// ignores keys it does not know.
//
// GET /v1/status answers one Status:
//   {"daemon": {"version", "pid", "uptime_seconds", "config": path | null,
//               "state": "starting|running|reloading|stopping", "control_socket"},
//    "groups": [{"name", "reloadable", "listen": [text], "plugin": path, "count", "ready",
//                "build": {"sha256", "build_id", "name", "version", "abi"} | null,
//                "state": "ok|starting|degraded|crash-loop|stopping", "restarts", "reloading",
//                "workers": [{"slot", "pid", "state": "starting|ready|draining|backoff|crash-loop",
//                "generation",
//                             "build": first 12 of the sha256, "uptime_seconds", "requests",
//                             "in_flight", "connections", "rss_bytes", "restarts", "last_exit":
//                             words | null, "next_try_seconds": number | null, "lends_to": slot |
//                             null, "metrics": {name: number}}]}]}
//
// POST /v1/reload and /v1/restart answer RolloutEvents, one JSON object a line, until the one with
// event "done", which alone carries "result" and "exit_code".
#pragma once

#include <sys/types.h>

#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// Every member has an initializer, so that a value can be made by naming only what differs.
namespace appserver::control {

enum class DaemonState { starting, running, reloading, stopping };
enum class GroupState { ok, starting, degraded, crash_loop, stopping };
enum class WorkerState { starting, ready, draining, backoff, crash_loop };

struct DaemonStatus {
  std::string version{};
  pid_t pid = 0;
  std::chrono::seconds uptime{0};
  std::optional<std::string> config{};  // path of the file; none for a daemon started without one
  DaemonState state = DaemonState::starting;
  std::string control_socket{};
  friend bool operator==(const DaemonStatus&, const DaemonStatus&) = default;
};

struct BuildStatus {
  std::string sha256{};    // of the plugin file, in hex
  std::string build_id{};  // GNU build-id in hex; empty where the file has none
  std::string name{};
  std::string version{};
  std::string abi{};  // "1.0"
  friend bool operator==(const BuildStatus&, const BuildStatus&) = default;
};

// A slot's worker; a slot that drains an old worker beside its successor has two. pid is 0 while
// there is none.
struct WorkerStatus {
  std::uint32_t slot = 0;
  pid_t pid = 0;
  WorkerState state = WorkerState::starting;
  std::uint64_t generation = 0;
  std::string build{};  // the first 12 digits of the sha256
  std::chrono::seconds uptime{0};
  std::uint64_t requests = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t connections = 0;
  std::uint64_t rss_bytes = 0;
  std::uint64_t restarts = 0;
  std::optional<std::string> last_exit{};               // "SIGSEGV in on_request, build 7be2d44"
  std::optional<std::chrono::milliseconds> next_try{};  // in backoff and crash-loop
  std::optional<std::uint32_t> lends_to{};              // the slot that accepts in this one's place
  std::map<std::string, double> metrics{};              // the plugin's own; finite
  friend bool operator==(const WorkerStatus&, const WorkerStatus&) = default;
};

struct GroupStatus {
  std::string name{};
  bool reloadable = true;
  std::vector<std::string> listen{};
  std::string plugin{};
  std::uint32_t count = 0;  // slots that should be there
  std::uint32_t ready = 0;  // slots with a ready worker
  std::optional<BuildStatus> build{};
  GroupState state = GroupState::starting;
  std::uint64_t restarts = 0;
  bool reloading = false;
  std::vector<WorkerStatus> workers{};
  friend bool operator==(const GroupStatus&, const GroupStatus&) = default;
};

struct Status {
  DaemonStatus daemon{};
  std::vector<GroupStatus> groups{};  // in the order of the configuration
  friend bool operator==(const Status&, const Status&) = default;
};

enum class EventKind {
  rollout_started,
  preflight,
  group_kept,
  group_started,
  slot_starting,
  slot_ready,
  slot_draining,
  slot_replaced,
  slot_failed,
  rolled_back,
  group_done,
  message,  // also what a reader makes of a kind that it does not know
  done
};

enum class RolloutResult { done, failed, refused, rolled_back, partial, busy, stopped };

// What appserverctl exits with: 0 done, 1 failed or stopped, 3 refused, 4 rolled_back, 5 partial, 6
// busy.
int exit_code(RolloutResult result);

// One step of a rollout. Only `kind` is always meaningful; in the JSON the members that are unset
// are left out.
struct RolloutEvent {
  EventKind kind = EventKind::message;
  std::string rollout{};  // id
  std::string group{};
  std::optional<std::uint32_t> slot{};
  std::optional<pid_t> pid{};
  std::optional<pid_t> old_pid{};
  std::string build{};
  std::string text{};
  std::chrono::milliseconds elapsed{0};
  std::optional<std::uint64_t> cut{};          // connections cut at the end of the drain
  std::optional<std::uint64_t> handed_over{};  // connections that went to the successor
  std::optional<RolloutResult> result{};       // with `done`, and only there
  friend bool operator==(const RolloutEvent&, const RolloutEvent&) = default;
};

// GET /v1/version: {"version", "pid"}.
struct Version {
  std::string version{};
  pid_t pid = 0;
  friend bool operator==(const Version&, const Version&) = default;
};

// Every answer that is not 2xx: {"error", "hint"}.
struct ErrorReply {
  std::string error{};
  std::string hint{};
  friend bool operator==(const ErrorReply&, const ErrorReply&) = default;
};

// The JSON is not of the documented shape; what() names the place: `groups[0].name: expected a
// string`.
class BadJson : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string_view to_word(DaemonState state);
std::string_view to_word(GroupState state);
std::string_view to_word(WorkerState state);
std::string_view to_word(EventKind kind);
std::string_view to_word(RolloutResult result);

boost::json::value to_json(const Status& status);
boost::json::value to_json(const RolloutEvent& event);
boost::json::value to_json(const Version& version);
boost::json::value to_json(const ErrorReply& reply);

// All throw BadJson.
Status status_from_json(const boost::json::value& json);
RolloutEvent event_from_json(const boost::json::value& json);
Version version_from_json(const boost::json::value& json);
ErrorReply error_from_json(const boost::json::value& json);

// Text to a value; BadJson with the position where it is not JSON.
boost::json::value parse_json(std::string_view text);

}  // namespace appserver::control

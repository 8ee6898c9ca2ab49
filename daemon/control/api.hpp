// What the control API answers, as values and as JSON. The JSON is the stable interface: keys are
// only ever added, and every key is always present (null where there is nothing to say). A reader
// ignores keys it does not know.
//
// GET /v1/status answers one Status:
//   {"daemon": {"version", "pid", "uptime_seconds", "config": path | null,
//               "state": "starting|running|reloading|stopping", "control_socket",
//               "release": number},
//    "rollout": RolloutStatus | null, "notes": [text],
//    "bus": {"pid": 0 while it waits to be restarted, "memory_bytes", "memory_limit_bytes", "keys",
//            "topics", "subscriptions", "messages", "dropped", "restarts", "last_exit": words |
//            null} | null before a worker needs it,
//    "groups": [{"name", "reloadable", "listen": [text], "plugin": path, "count", "ready",
//                "build": {"sha256", "build_id", "name", "version", "abi"} | null,
//                "release": number, "recycled",
//                "state": "ok|starting|degraded|crash-loop|stopping", "restarts", "reloading",
//                "tls": {"certificates": [{"file", "names": [text], "not_after": UTC | null,
//                        "state": "ok|expiring|expired|not-yet-valid|kept|not-served",
//                        "problem": text | null}]} | null without TLS,
//                "workers": [{"slot", "pid", "state":
//                             "starting|ready|hung|draining|backoff|crash-loop", "generation",
//                             "build": first 12 of the sha256, "uptime_seconds", "requests",
//                             "in_flight", "connections", "rss_bytes", "restarts", "last_exit":
//                             words | null, "next_try_seconds": number | null, "lends_to": slot |
//                             null, "tls_handshakes", "tls_failed", "datagrams_received",
//                             "datagrams_sent", "datagrams_dropped", "gateway": {"clients",
//                             "workers", "waiting", "waiting_bytes", "lost", "cut"} | null in
//                             another group than a gateway, "links": {"linked", "known"} |
//                             null in another than a business group, "metrics": {name: number},
//                             "state_lost": words | null}]}]}
//
// POST /v1/reload, /v1/restart, /v1/rollback, /v1/scale and /v1/drain, and GET /v1/rollout/events,
// answer RolloutEvents, one JSON object a line, until the one with event "done", which alone
// carries "result" and "exit_code".
//
// GET /v1/rollout answers {"rollout": RolloutStatus | null}; GET /v1/history {"releases":
// [ReleaseSummary]}; GET /v1/crashes {"crashes": [CrashRecord]}, newest first and without their
// stacks and output; GET /v1/crashes/N one CrashRecord. POST /v1/rollout/abort, /v1/rollout/proceed
// and /v1/rollout/confirm answer {"text"}. Times are UTC.
//
//   RolloutStatus: {"id", "state": "preparing|rolling|holding|waiting|reverting|confirming|over",
//                   "who", "what", "release", "slots", "slots_done", "elapsed_ms",
//                   "left_ms": number | null, "text", "result": word | null, "queued",
//                   "can_abort"}
//   ReleaseSummary: {"number", "when": "2026-11-22T14:03:07Z", "who", "what", "result", "took_ms",
//                    "committed", "available", "builds": [{"group", "name", "version", "sha256"}]}
//   CrashRecord: {"number", "when", "group", "slot", "pid", "generation", "release", "reason",
//                 "signal", "hook", "plugin", "sha256", "build_id", "uptime_seconds", "requests",
//                 "core_dumped", "address", "stack": [text], "output": [text]}
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
enum class WorkerState { starting, ready, hung, draining, backoff, crash_loop };

// `kept`: of what was read before, since the files are no good by now.
enum class CertificateState { ok, expiring, expired, not_yet_valid, kept, not_served };

struct DaemonStatus {
  std::string version{};
  pid_t pid = 0;
  std::chrono::seconds uptime{0};
  std::optional<std::string> config{};  // path of the file; none for a daemon started without one
  DaemonState state = DaemonState::starting;
  std::string control_socket{};
  std::uint64_t release = 0;  // the committed one
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

// Of a worker of a gateway group.
struct GatewayStatus {
  std::uint64_t clients = 0;
  std::uint64_t workers = 0;  // business workers that take what comes from them
  std::uint64_t waiting = 0;  // events that wait for one
  std::uint64_t waiting_bytes = 0;
  std::uint64_t lost = 0;  // messages that waited too long, or were not to be given twice
  std::uint64_t cut = 0;   // clients that did not take what was sent to them
  friend bool operator==(const GatewayStatus&, const GatewayStatus&) = default;
};

// Of a worker of a business group.
struct LinkStatus {
  std::uint64_t linked = 0;  // gateway workers that it is linked to
  std::uint64_t known = 0;   // that there are, as far as it knows
  friend bool operator==(const LinkStatus&, const LinkStatus&) = default;
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
  std::uint64_t tls_handshakes = 0;                     // that were done
  std::uint64_t tls_failed = 0;                         // handshakes, and those cut off
  std::uint64_t datagrams_received = 0;
  std::uint64_t datagrams_sent = 0;
  std::uint64_t datagrams_dropped = 0;  // in either direction: for want of room, or forged
  std::optional<GatewayStatus> gateway{};
  std::optional<LinkStatus> links{};
  std::map<std::string, double> metrics{};  // the plugin's own; finite
  // Why the slot has not what its worker before knew; until a reload or a drain of it goes well.
  std::optional<std::string> state_lost{};
  friend bool operator==(const WorkerStatus&, const WorkerStatus&) = default;
};

struct CertificateStatus {
  std::string file{};
  std::vector<std::string> names{};
  std::optional<std::string> not_after{};  // "2030-01-31T12:00:00Z"; none where it is not served
  CertificateState state = CertificateState::ok;
  std::optional<std::string> problem{};  // why what lies in the file is not served
  friend bool operator==(const CertificateStatus&, const CertificateStatus&) = default;
};

struct TlsStatus {
  std::vector<CertificateStatus> certificates{};
  friend bool operator==(const TlsStatus&, const TlsStatus&) = default;
};

struct GroupStatus {
  std::string name{};
  bool reloadable = true;
  std::vector<std::string> listen{};
  std::string plugin{};
  std::uint32_t count = 0;  // slots that should be there
  std::uint32_t ready = 0;  // slots with a ready worker
  std::optional<BuildStatus> build{};
  std::uint64_t release = 0;  // the one that brought its build and configuration
  GroupState state = GroupState::starting;
  std::uint64_t restarts = 0;
  std::uint64_t recycled = 0;  // workers replaced for their age, size or number of requests
  bool reloading = false;
  std::optional<TlsStatus> tls{};
  std::vector<WorkerStatus> workers{};
  friend bool operator==(const GroupStatus&, const GroupStatus&) = default;
};

enum class RolloutResult { done, failed, refused, rolled_back, partial, busy, stopped };

enum class RolloutState {
  preparing,  // reading, storing, preflight
  rolling,
  holding,  // a canary is watched
  waiting,  // a canary was inconclusive: a person is to say `proceed` or `abort`
  reverting,
  confirming,  // over, and reverted without a `confirm` in time
  over
};

struct RolloutStatus {
  std::string id{};
  RolloutState state = RolloutState::preparing;
  std::string who{};
  std::string what{};
  std::uint64_t release = 0;  // that it makes; 0 until it is past its preflight
  std::uint32_t slots = 0;    // of all groups it changes
  std::uint32_t slots_done = 0;
  std::chrono::milliseconds elapsed{0};
  std::optional<std::chrono::milliseconds> left{};  // until the hold is over or it is reverted
  std::string text{};                               // the last thing that happened
  std::optional<RolloutResult> result{};            // once it is over
  bool queued = false;                              // another one waits for this one
  bool can_abort = false;                           // an abort would have it go back now
  friend bool operator==(const RolloutStatus&, const RolloutStatus&) = default;
};

// The process of the bus. What it counts begins anew with each process.
struct BusStatus {
  pid_t pid = 0;  // 0 while it waits to be restarted
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_limit_bytes = 0;
  std::uint64_t keys = 0;
  std::uint64_t topics = 0;
  std::uint64_t subscriptions = 0;
  std::uint64_t messages = 0;  // given to a subscriber
  std::uint64_t dropped = 0;   // for a subscriber that was too slow
  std::uint64_t restarts = 0;
  std::optional<std::string> last_exit{};
  friend bool operator==(const BusStatus&, const BusStatus&) = default;
};

struct Status {
  DaemonStatus daemon{};
  std::optional<RolloutStatus> rollout{};  // unless it is over
  std::vector<std::string> notes{};        // what a person should know, each with a way out
  std::optional<BusStatus> bus{};          // once a worker has needed it
  std::vector<GroupStatus> groups{};       // in the order of the configuration
  friend bool operator==(const Status&, const Status&) = default;
};

enum class EventKind {
  rollout_started,
  preflight,
  plan,  // a line of what is going to happen
  group_kept,
  group_added,
  group_removed,
  group_started,
  slot_starting,
  slot_ready,
  slot_draining,
  slot_replaced,
  slot_failed,
  canary_holding,
  canary_judged,
  rolled_back,
  group_done,
  message,  // also what a reader makes of a kind that it does not know
  done
};

// What appserverctl exits with: 0 done, 1 failed or stopped, 3 refused, 4 rolled_back, 5 partial, 6
// busy.
int exit_code(RolloutResult result);

// One step of a rollout. Only `kind` is always meaningful; in the JSON the members that are unset
// are left out.
struct RolloutEvent {
  EventKind kind = EventKind::message;
  std::string rollout{};  // id; of the one in the way, where another one waits or is told `busy`
  std::string group{};
  std::optional<std::uint32_t> slot{};
  std::optional<pid_t> pid{};
  std::optional<pid_t> old_pid{};  // with slot_replaced: of one that died; `text` tells how
  std::string build{};
  std::string text{};
  std::chrono::milliseconds elapsed{0};
  std::optional<std::uint64_t> cut{};          // connections cut at the end of the drain
  std::optional<std::uint64_t> handed_over{};  // connections that went to the successor
  // How far the group is, with each event of one of its slots.
  std::optional<std::uint32_t> slots{};
  std::optional<std::uint32_t> slots_done{};
  std::optional<RolloutResult> result{};  // with `done`, and only there
  friend bool operator==(const RolloutEvent&, const RolloutEvent&) = default;
};

// GET /v1/version: {"version", "pid"}.
struct Version {
  std::string version{};
  pid_t pid = 0;
  friend bool operator==(const Version&, const Version&) = default;
};

// What a release was made of, and what became of it.
struct ReleaseSummary {
  std::uint64_t number = 0;
  std::chrono::system_clock::time_point when{};  // in JSON "2026-11-22T14:03:07Z"
  std::string who{};
  std::string what{};
  std::string result{};  // "committed", "rolled back: ...", "reverted: ..."
  std::chrono::milliseconds took{0};
  bool committed = false;  // it is the one in force
  bool available = false;  // its builds are still in the store: one can roll back to it
  struct Build {
    std::string group{};
    std::string name{};
    std::string version{};
    std::string sha256{};
    friend bool operator==(const Build&, const Build&) = default;
  };
  std::vector<Build> builds{};
  friend bool operator==(const ReleaseSummary&, const ReleaseSummary&) = default;
};

// A worker that ended, or had to be ended, without having been told to.
struct CrashRecord {
  std::uint64_t number = 0;
  std::chrono::system_clock::time_point when{};
  std::string group{};
  std::uint32_t slot = 0;
  pid_t pid = 0;
  std::uint64_t generation = 0;
  std::uint64_t release = 0;
  std::string reason{};  // "SIGSEGV in on_request, build 7be2d44"
  std::string signal{};  // "SIGSEGV"; empty where it exited
  std::string hook{};    // in which it was; empty outside the plugin
  std::string plugin{};  // "shop 1.2.0"
  std::string sha256{};
  std::string build_id{};
  std::chrono::seconds uptime{0};
  std::uint64_t requests = 0;
  bool core_dumped = false;
  std::string address{};              // "0x10" for a memory fault
  std::vector<std::string> stack{};   // innermost first: "shop.so+0x12a0 shop::price(int)"
  std::vector<std::string> output{};  // its last lines on stdout and stderr
  friend bool operator==(const CrashRecord&, const CrashRecord&) = default;
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
std::string_view to_word(CertificateState state);
std::string_view to_word(EventKind kind);
// For people; to_word() is for JSON. Empty where an event's text says it all.
std::string_view to_words(EventKind kind);
std::string_view to_word(RolloutResult result);
std::string_view to_word(RolloutState state);

boost::json::value to_json(const Status& status);
boost::json::value to_json(const RolloutEvent& event);
boost::json::value to_json(const RolloutStatus& rollout);
boost::json::value to_json(const ReleaseSummary& release);
boost::json::value to_json(const CrashRecord& crash);
boost::json::value to_json(const Version& version);
boost::json::value to_json(const ErrorReply& reply);

// All throw BadJson.
Status status_from_json(const boost::json::value& json);
RolloutEvent event_from_json(const boost::json::value& json);
RolloutStatus rollout_from_json(const boost::json::value& json);
ReleaseSummary release_from_json(const boost::json::value& json);
CrashRecord crash_from_json(const boost::json::value& json);
Version version_from_json(const boost::json::value& json);
ErrorReply error_from_json(const boost::json::value& json);

// Text to a value; BadJson with the position where it is not JSON.
boost::json::value parse_json(std::string_view text);

}  // namespace appserver::control

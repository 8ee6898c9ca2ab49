// What a caller may ask for. An empty body counts as {}; an unknown key is refused, so that a
// misspelt "force" is never taken for "no force". Times are from 1 ms to 7 days, a canary and a
// count from 1 to 1024. POST /v1/rollout/abort, /v1/rollout/proceed and /v1/rollout/confirm {}.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::control {

inline constexpr std::uint32_t kMaxCount = 1024;  // of workers in a group
inline constexpr std::chrono::milliseconds kMaxWait = std::chrono::days(7);

// POST /v1/reload {"groups": ["api"], "force": false, "changed": false, "dry_run": false,
// "canary": 1 | null, "hold_ms": 30000 | null, "confirm_within_ms": 300000 | null}
struct ReloadRequest {
  std::vector<std::string> groups{};  // empty: all
  bool force = false;    // also groups with reloadable: false, which must then be named
  bool changed = false;  // only groups whose build or settings have changed
  bool dry_run = false;  // only the plan, with the preflight; nothing is replaced
  // In place of the groups' own reload.canary.
  std::optional<std::uint32_t> canary{};
  std::optional<std::chrono::milliseconds> hold{};
  // Without a `confirm` within this time the release before comes back.
  std::optional<std::chrono::milliseconds> confirm_within{};
  friend bool operator==(const ReloadRequest&, const ReloadRequest&) = default;
};

// POST /v1/rollback {"to": 41 | null, "group": "api" | null, "dry_run": false}. Without `to`: the
// release before the committed one. Without a group: all that are reloadable.
struct RollbackRequest {
  std::optional<std::uint64_t> to{};
  std::optional<std::string> group{};
  bool dry_run = false;
  friend bool operator==(const RollbackRequest&, const RollbackRequest&) = default;
};

// POST /v1/scale {"group": "api", "count": 4}
struct ScaleRequest {
  std::string group{};
  std::uint32_t count = 0;
  friend bool operator==(const ScaleRequest&, const ScaleRequest&) = default;
};

// POST /v1/drain {"group": "api", "slot": 3}: a fresh worker takes the slot over, then the one that
// is there drains and ends.
struct DrainRequest {
  std::string group{};
  std::uint32_t slot = 0;
  friend bool operator==(const DrainRequest&, const DrainRequest&) = default;
};

// POST /v1/restart {"group": "api"}
struct RestartRequest {
  std::string group{};
  friend bool operator==(const RestartRequest&, const RestartRequest&) = default;
};

// POST /v1/stop {"fast": false}
struct StopRequest {
  bool fast = false;
  friend bool operator==(const StopRequest&, const StopRequest&) = default;
};

boost::json::value to_json(const ReloadRequest& request);
boost::json::value to_json(const RollbackRequest& request);
boost::json::value to_json(const ScaleRequest& request);
boost::json::value to_json(const DrainRequest& request);
boost::json::value to_json(const RestartRequest& request);
boost::json::value to_json(const StopRequest& request);

// From a request's body; all throw BadJson.
ReloadRequest parse_reload(std::string_view body);
RollbackRequest parse_rollback(std::string_view body);
ScaleRequest parse_scale(std::string_view body);
DrainRequest parse_drain(std::string_view body);
RestartRequest parse_restart(std::string_view body);
StopRequest parse_stop(std::string_view body);
void parse_nothing(std::string_view body);

}  // namespace appserver::control

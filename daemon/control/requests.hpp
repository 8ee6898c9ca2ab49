// What a caller may ask for. An empty body counts as {}; an unknown key is refused, so that a
// misspelt "force" is never taken for "no force".
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::control {

// POST /v1/reload {"groups": ["api"], "force": false}. No groups: all. force: also groups with
// reloadable: false, which must then be named.
struct ReloadRequest {
  std::vector<std::string> groups{};
  bool force = false;
  friend bool operator==(const ReloadRequest&, const ReloadRequest&) = default;
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
boost::json::value to_json(const RestartRequest& request);
boost::json::value to_json(const StopRequest& request);

// From a request's body; all throw BadJson.
ReloadRequest parse_reload(std::string_view body);
RestartRequest parse_restart(std::string_view body);
StopRequest parse_stop(std::string_view body);

}  // namespace appserver::control

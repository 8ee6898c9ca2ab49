#include "control/requests.hpp"

#include "control/json_reader.hpp"

namespace appserver::control {

namespace json = boost::json;

namespace {

json::value parse_body(std::string_view body) {
  return body.empty() ? json::value(json::object()) : parse_json(body);
}

}  // namespace

json::value to_json(const ReloadRequest& request) {
  return json::object{{"groups", json::array(request.groups.begin(), request.groups.end())},
                      {"force", request.force}};
}

json::value to_json(const RestartRequest& request) {
  return json::object{{"group", request.group}};
}

json::value to_json(const StopRequest& request) { return json::object{{"fast", request.fast}}; }

ReloadRequest parse_reload(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"groups", "force"});
  ReloadRequest request;
  if (in.has("groups")) {
    for (const json::value& each : in.array("groups")) {
      request.groups.push_back(as_text(each, "groups"));
    }
  }
  if (in.has("force")) request.force = in.flag("force");
  return request;
}

RestartRequest parse_restart(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"group"});
  RestartRequest request{in.text("group")};
  if (request.group.empty()) in.fail("group", "empty; name the group to restart");
  return request;
}

StopRequest parse_stop(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"fast"});
  StopRequest request;
  if (in.has("fast")) request.fast = in.flag("fast");
  return request;
}

}  // namespace appserver::control

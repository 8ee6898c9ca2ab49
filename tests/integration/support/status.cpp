#include "support/status.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <stdexcept>

namespace appserver::integration {

namespace json = boost::json;

namespace {

const json::value& field(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr) throw std::runtime_error("status lacks the field " + std::string(name));
  return *value;
}

std::int64_t number(const json::object& object, std::string_view name) {
  return field(object, name).to_number<std::int64_t>();
}

// Null is a text that does not apply, such as the last exit of a worker that never ended.
std::string text(const json::object& object, std::string_view name) {
  const auto& value = field(object, name);
  return value.is_null() ? std::string() : std::string(value.as_string());
}

pid_t pid_of(const json::object& object) {
  const auto& value = field(object, "pid");
  return value.is_null() ? 0 : value.to_number<pid_t>();
}

WorkerStatus parse_worker(const json::object& object) {
  WorkerStatus worker;
  worker.slot = number(object, "slot");
  worker.pid = pid_of(object);
  worker.state = text(object, "state");
  worker.generation = number(object, "generation");
  worker.build = text(object, "build");
  worker.requests = number(object, "requests");
  worker.in_flight = number(object, "in_flight");
  worker.connections = number(object, "connections");
  worker.rss_bytes = number(object, "rss_bytes");
  worker.restarts = number(object, "restarts");
  worker.last_exit = text(object, "last_exit");
  return worker;
}

GroupStatus parse_group(const json::object& object) {
  GroupStatus group;
  group.name = text(object, "name");
  group.reloadable = field(object, "reloadable").as_bool();
  for (const auto& url : field(object, "listen").as_array()) {
    group.listen.push_back(parse_endpoint(url.as_string()));
  }
  group.count = number(object, "count");
  group.ready = number(object, "ready");
  group.state = text(object, "state");
  group.restarts = number(object, "restarts");
  group.reloading = field(object, "reloading").as_bool();
  group.release = number(object, "release");
  group.recycled = number(object, "recycled");
  if (const auto& build = field(object, "build"); !build.is_null()) {
    group.build = text(build.as_object(), "sha256");
  }
  for (const auto& worker : field(object, "workers").as_array()) {
    group.workers.push_back(parse_worker(worker.as_object()));
  }
  return group;
}

RolloutStatus parse_rollout(const json::value& value) {
  RolloutStatus rollout;
  if (value.is_null()) return rollout;
  const auto& object = value.as_object();
  rollout.id = text(object, "id");
  rollout.state = text(object, "state");
  rollout.release = number(object, "release");
  rollout.text = text(object, "text");
  rollout.queued = field(object, "queued").as_bool();
  return rollout;
}

}  // namespace

std::vector<pid_t> GroupStatus::pids() const {
  std::vector<pid_t> result;
  for (const auto& worker : workers) {
    if (worker.pid != 0 && worker.state != "draining") result.push_back(worker.pid);
  }
  return result;
}

const GroupStatus& Status::group(const std::string& name) const {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const auto& candidate) { return candidate.name == name; });
  if (found == groups.end()) throw std::runtime_error("status has no group " + name + ": " + text);
  return *found;
}

bool Status::all_ready() const {
  return std::all_of(groups.begin(), groups.end(), [](const auto& group) {
    return group.ready == group.count && !group.reloading;
  });
}

Status parse_status(std::string_view text_of_json) {
  const auto root = json::parse(text_of_json).as_object();
  const auto& daemon = field(root, "daemon").as_object();
  Status status;
  status.version = text(daemon, "version");
  status.pid = pid_of(daemon);
  status.state = text(daemon, "state");
  status.release = number(daemon, "release");
  status.rollout = parse_rollout(field(root, "rollout"));
  for (const auto& note : field(root, "notes").as_array()) {
    status.notes.emplace_back(note.as_string());
  }
  for (const auto& group : field(root, "groups").as_array()) {
    status.groups.push_back(parse_group(group.as_object()));
  }
  status.text = text_of_json;
  return status;
}

}  // namespace appserver::integration

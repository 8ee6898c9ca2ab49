#include "control/requests.hpp"

#include <fmt/format.h>

#include "control/json_reader.hpp"
#include "control/json_writer.hpp"

namespace appserver::control {

namespace json = boost::json;

namespace {

json::value parse_body(std::string_view body) {
  return body.empty() ? json::value(json::object()) : parse_json(body);
}

bool read_flag(const JsonReader& in, std::string_view key) { return in.has(key) && in.flag(key); }

std::uint32_t read_count(const JsonReader& in, std::string_view key) {
  const std::uint64_t count = in.count(key);
  if (count < 1 || count > kMaxCount) in.fail(key, fmt::format("expected 1 to {}", kMaxCount));
  return static_cast<std::uint32_t>(count);
}

std::optional<std::chrono::milliseconds> read_wait(const JsonReader& in, std::string_view key) {
  if (!in.has(key)) return std::nullopt;
  const std::uint64_t wait = in.count(key);
  if (wait < 1 || wait > static_cast<std::uint64_t>(kMaxWait.count())) {
    in.fail(key, fmt::format("expected 1 to {}, which is 7 days", kMaxWait.count()));
  }
  return std::chrono::milliseconds(wait);
}

std::string read_group(const JsonReader& in, std::string_view what_for) {
  std::string group = in.text("group");
  if (group.empty()) in.fail("group", fmt::format("empty; name the group to {}", what_for));
  return group;
}

std::optional<std::int64_t> count_of(const std::optional<std::chrono::milliseconds>& value) {
  return value ? std::optional(value->count()) : std::nullopt;
}

}  // namespace

json::value to_json(const ReloadRequest& request) {
  return json::object{{"groups", json::array(request.groups.begin(), request.groups.end())},
                      {"force", request.force},
                      {"changed", request.changed},
                      {"dry_run", request.dry_run},
                      {"canary", or_null(request.canary)},
                      {"hold_ms", or_null(count_of(request.hold))},
                      {"confirm_within_ms", or_null(count_of(request.confirm_within))}};
}

json::value to_json(const RollbackRequest& request) {
  return json::object{
      {"to", or_null(request.to)}, {"group", or_null(request.group)}, {"dry_run", request.dry_run}};
}

json::value to_json(const ScaleRequest& request) {
  return json::object{{"group", request.group}, {"count", request.count}};
}

json::value to_json(const DrainRequest& request) {
  return json::object{{"group", request.group}, {"slot", request.slot}};
}

json::value to_json(const RestartRequest& request) {
  return json::object{{"group", request.group}};
}

json::value to_json(const StopRequest& request) { return json::object{{"fast", request.fast}}; }

ReloadRequest parse_reload(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only(
      {"groups", "force", "changed", "dry_run", "canary", "hold_ms", "confirm_within_ms"});
  ReloadRequest request;
  if (in.has("groups")) request.groups = in.texts("groups");
  request.force = read_flag(in, "force");
  request.changed = read_flag(in, "changed");
  request.dry_run = read_flag(in, "dry_run");
  if (in.has("canary")) request.canary = read_count(in, "canary");
  request.hold = read_wait(in, "hold_ms");
  request.confirm_within = read_wait(in, "confirm_within_ms");
  return request;
}

RollbackRequest parse_rollback(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"to", "group", "dry_run"});
  RollbackRequest request;
  if (in.has("to")) request.to = in.count("to");
  if (request.to == 0u) in.fail("to", "the first release is 1");
  if (in.has("group")) request.group = read_group(in, "roll back, or leave it out for all");
  request.dry_run = read_flag(in, "dry_run");
  return request;
}

ScaleRequest parse_scale(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"group", "count"});
  return {read_group(in, "scale"), read_count(in, "count")};
}

DrainRequest parse_drain(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"group", "slot"});
  return {read_group(in, "drain a worker of"), in.integer<std::uint32_t>("slot")};
}

RestartRequest parse_restart(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"group"});
  return {read_group(in, "restart")};
}

StopRequest parse_stop(std::string_view body) {
  const json::value value = parse_body(body);
  const JsonReader in(value, "");
  in.allow_only({"fast"});
  return {read_flag(in, "fast")};
}

void parse_nothing(std::string_view body) {
  const json::value value = parse_body(body);
  JsonReader(value, "").allow_only({});
}

}  // namespace appserver::control

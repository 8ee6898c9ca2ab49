#include "control/api.hpp"
#include "control/json_reader.hpp"
#include "control/json_writer.hpp"
#include "control/time_text.hpp"

namespace appserver::control {

namespace json = boost::json;

namespace {

std::chrono::system_clock::time_point read_time(const JsonReader& in, std::string_view key) {
  const auto time = parse_time(in.text(key));
  if (!time) in.fail(key, "expected a time such as 2026-11-22T14:03:07Z");
  return *time;
}

}  // namespace

json::value to_json(const ReleaseSummary& release) {
  json::array builds;
  for (const ReleaseSummary::Build& build : release.builds) {
    builds.push_back(json::object{{"group", build.group},
                                  {"name", clean(build.name)},
                                  {"version", clean(build.version)},
                                  {"sha256", build.sha256}});
  }
  return json::object{{"number", release.number},        {"when", time_text(release.when)},
                      {"who", clean(release.who)},       {"what", clean(release.what)},
                      {"result", clean(release.result)}, {"took_ms", release.took.count()},
                      {"committed", release.committed},  {"available", release.available},
                      {"builds", std::move(builds)}};
}

ReleaseSummary release_from_json(const json::value& value) {
  const JsonReader in(value, "release");
  ReleaseSummary release;
  release.number = in.count("number");
  release.when = read_time(in, "when");
  release.who = in.text("who");
  release.what = in.text("what");
  release.result = in.text("result");
  release.took = std::chrono::milliseconds(in.integer<std::int64_t>("took_ms"));
  release.committed = in.flag("committed");
  release.available = in.flag("available");
  for (const json::value& each : in.array("builds")) {
    const JsonReader build(each, in.place_of("builds"));
    release.builds.push_back({.group = build.text("group"),
                              .name = build.text("name"),
                              .version = build.text("version"),
                              .sha256 = build.text("sha256")});
  }
  return release;
}

json::value to_json(const CrashRecord& crash) {
  return json::object{{"number", crash.number},
                      {"when", time_text(crash.when)},
                      {"group", crash.group},
                      {"slot", crash.slot},
                      {"pid", crash.pid},
                      {"generation", crash.generation},
                      {"release", crash.release},
                      {"reason", clean(crash.reason)},
                      {"signal", crash.signal},
                      {"hook", clean(crash.hook)},
                      {"plugin", clean(crash.plugin)},
                      {"sha256", crash.sha256},
                      {"build_id", crash.build_id},
                      {"uptime_seconds", crash.uptime.count()},
                      {"requests", crash.requests},
                      {"core_dumped", crash.core_dumped},
                      {"address", crash.address},
                      {"stack", list_of(crash.stack)},
                      {"output", list_of(crash.output)}};
}

CrashRecord crash_from_json(const json::value& value) {
  const JsonReader in(value, "crash");
  CrashRecord crash;
  crash.number = in.count("number");
  crash.when = read_time(in, "when");
  crash.group = in.text("group");
  crash.slot = in.integer<std::uint32_t>("slot");
  crash.pid = in.integer<pid_t>("pid");
  crash.generation = in.count("generation");
  crash.release = in.count("release");
  crash.reason = in.text("reason");
  crash.signal = in.text("signal");
  crash.hook = in.text("hook");
  crash.plugin = in.text("plugin");
  crash.sha256 = in.text("sha256");
  crash.build_id = in.text("build_id");
  crash.uptime = std::chrono::seconds(in.integer<std::int64_t>("uptime_seconds"));
  crash.requests = in.count("requests");
  crash.core_dumped = in.flag("core_dumped");
  crash.address = in.text("address");
  crash.stack = in.texts("stack");
  crash.output = in.texts("output");
  return crash;
}

}  // namespace appserver::control

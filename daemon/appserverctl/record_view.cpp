#include "appserverctl/record_view.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "appserverctl/status_view.hpp"
#include "appserverctl/table.hpp"
#include "appserverctl/text.hpp"

namespace appserver::appserverctl {

namespace {

using control::CrashRecord;
using control::ReleaseSummary;

std::string local_time(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}",
                     fmt::localtime(std::chrono::system_clock::to_time_t(time)));
}

std::string to_the_minute(std::chrono::system_clock::time_point time) {
  return local_time(time).substr(0, std::string_view("2026-11-22 14:03").size());
}

std::string worker_name(const CrashRecord& crash) {
  return fmt::format("{}/{}", crash.group, crash.slot);
}

// Whether one can go back to it.
std::string back_cell(const ReleaseSummary& release) {
  if (release.committed) return {};
  return release.available ? "yes" : "no";
}

// The last column, so that the marker stands out.
std::string result_cell(const ReleaseSummary& release) {
  return release.result + (release.committed ? "  <- current" : "");
}

void add_lines(std::string& out, std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out += fmt::format("{}\n", title);
  for (const std::string& line : lines) out += fmt::format("  {}\n", escaped(line));
}

}  // namespace

std::string print_history(const std::vector<ReleaseSummary>& releases) {
  if (releases.empty()) return "there is no release yet\n";
  std::vector<std::vector<std::string>> rows;
  for (const ReleaseSummary& release : releases) {
    rows.push_back({std::to_string(release.number), to_the_minute(release.when), release.who,
                    release.what, human_span(release.took), back_cell(release),
                    result_cell(release)});
  }
  return print_table(
      {{"REL", true}, {"WHEN"}, {"BY"}, {"WHAT"}, {"TOOK", true}, {"BACK"}, {"RESULT"}}, rows);
}

std::string print_crashes(const std::vector<CrashRecord>& crashes) {
  if (crashes.empty()) return "no crash is on record\n";
  std::vector<std::vector<std::string>> rows;
  for (const CrashRecord& crash : crashes) {
    rows.push_back({std::to_string(crash.number), local_time(crash.when), worker_name(crash),
                    std::to_string(crash.pid), crash.reason, short_build(crash.sha256),
                    human_duration(crash.uptime)});
  }
  return print_table(
      {{"N", true}, {"WHEN"}, {"SLOT"}, {"PID", true}, {"REASON"}, {"BUILD"}, {"UP", true}}, rows);
}

std::string print_crash(const CrashRecord& crash) {
  std::string out = fmt::format("crash {} of {} at {}\n", crash.number, escaped(worker_name(crash)),
                                local_time(crash.when));
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<11}{}\n", name, escaped(value));
  };
  add("reason", crash.reason);
  add("signal", crash.signal);
  add("address", crash.address);
  add("hook", crash.hook);
  add("core", crash.core_dumped ? "dumped" : "not dumped");
  add("plugin", crash.plugin);
  add("sha256", crash.sha256);
  add("build id", crash.build_id);
  add("release", std::to_string(crash.release));
  add("generation", std::to_string(crash.generation));
  add("pid", std::to_string(crash.pid));
  add("up", human_duration(crash.uptime));
  add("requests", std::to_string(crash.requests));
  add_lines(out, "stack, innermost first", crash.stack);
  add_lines(out, "its last output", crash.output);
  return out;
}

}  // namespace appserver::appserverctl

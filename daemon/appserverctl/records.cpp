#include <fmt/format.h>

#include "appserverctl/record_view.hpp"
#include "appserverctl/socket.hpp"
#include "appserverctl/verbs.hpp"
#include "control/json_reader.hpp"

namespace appserver::appserverctl {

namespace {

std::string ask(const control::Client& client, const Options& options, std::string_view target) {
  return client.get(target, options.timeout.value_or(kAnswerTimeout));
}

std::vector<control::CrashRecord> crashes_in(std::string_view body) {
  const boost::json::value answer = control::parse_json(body);
  std::vector<control::CrashRecord> crashes;
  for (const auto& each : control::JsonReader(answer, "").array("crashes")) {
    crashes.push_back(control::crash_from_json(each));
  }
  return crashes;
}

}  // namespace

int show_history(const Options& options, const Console& console) {
  const std::string body = ask(find_daemon(options, console), options, "/v1/history");
  if (options.json) {
    console.out << body;
    return kDone;
  }
  const boost::json::value answer = control::parse_json(body);
  std::vector<control::ReleaseSummary> releases;
  for (const auto& each : control::JsonReader(answer, "").array("releases")) {
    releases.push_back(control::release_from_json(each));
  }
  console.out << print_history(releases);
  return kDone;
}

int show_crashes(const Options& options, const Console& console) {
  const std::string body = ask(find_daemon(options, console), options, "/v1/crashes");
  console.out << (options.json ? body : print_crashes(crashes_in(body)));
  return kDone;
}

int show_crash(const Options& options, const Console& console) {
  const control::Client client = find_daemon(options, console);
  std::optional<std::uint64_t> number = options.number;
  if (!number) {
    const auto crashes = crashes_in(ask(client, options, "/v1/crashes"));
    if (crashes.empty()) throw std::runtime_error("no crash is on record");
    number = crashes.front().number;
  }
  const std::string body = ask(client, options, fmt::format("/v1/crashes/{}", *number));
  console.out << (options.json ? body
                               : print_crash(control::crash_from_json(control::parse_json(body))));
  return kDone;
}

}  // namespace appserver::appserverctl

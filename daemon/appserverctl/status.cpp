#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "appserverctl/socket.hpp"
#include "appserverctl/status_view.hpp"
#include "appserverctl/text.hpp"
#include "appserverctl/verbs.hpp"
#include "config/suggest.hpp"

namespace appserver::appserverctl {

namespace json = boost::json;

namespace {

void keep_only(control::Status& status, const std::string& group) {
  std::vector<std::string_view> names;
  for (const auto& each : status.groups) names.push_back(each.name);
  if (std::find(names.begin(), names.end(), group) == names.end()) {
    throw std::runtime_error(
        fmt::format("no group '{}'{}", group, config::suggestion(group, names)));
  }
  std::erase_if(status.groups, [&](const auto& each) { return each.name != group; });
}

std::optional<control::Version> ask_version(const control::Client& client, const Options& options) {
  try {
    return control::version_from_json(
        control::parse_json(client.get("/v1/version", options.timeout.value_or(kAnswerTimeout))));
  } catch (const control::NoDaemon&) {
    return std::nullopt;
  }
}

}  // namespace

int show_status(const Options& options, const Console& console) {
  const control::Client client = find_daemon(options, console);
  const std::string body = client.get("/v1/status", options.timeout.value_or(kAnswerTimeout));
  control::Status status = control::status_from_json(control::parse_json(body));
  if (!options.names.empty()) keep_only(status, options.names[0]);
  if (!options.json) {
    console.out << print_status(status);
  } else if (options.names.empty()) {
    console.out << body;  // as it came: a newer daemon may say more than we know
  } else {
    console.out << json::serialize(control::to_json(status)) << '\n';
  }
  return kDone;
}

int show_version(const Options& options, const Console& console) {
  const control::Client client = find_daemon(options, console);
  const auto daemon = ask_version(client, options);
  if (options.json) {
    console.out << json::serialize(json::object{
                       {"client", APPSERVER_VERSION},
                       {"daemon", daemon ? json::value(daemon->version) : json::value(nullptr)}})
                << '\n';
    return kDone;
  }
  console.out << "appserverctl " << APPSERVER_VERSION << '\n';
  if (daemon) {
    console.out << fmt::format("appserverd {} (pid {})\n", escaped(daemon->version), daemon->pid);
  } else {
    console.out << fmt::format("appserverd: not running on {}\n",
                               escaped(client.socket().native()));
  }
  return kDone;
}

}  // namespace appserver::appserverctl

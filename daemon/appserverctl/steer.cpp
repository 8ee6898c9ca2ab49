#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "appserverctl/rollout_view.hpp"
#include "appserverctl/socket.hpp"
#include "appserverctl/text.hpp"
#include "appserverctl/verbs.hpp"
#include "control/json_reader.hpp"

namespace appserver::appserverctl {

namespace {

// Says what happens now, in the daemon's words.
int tell(const Options& options, const Console& console, std::string_view target) {
  const std::string body =
      find_daemon(options, console)
          .post(target, boost::json::object(), options.timeout.value_or(kAnswerTimeout));
  if (options.json) {
    console.out << body;
    return kDone;
  }
  const boost::json::value answer = control::parse_json(body);
  console.out << escaped_text(control::JsonReader(answer, "").text("text")) << '\n';
  return kDone;
}

}  // namespace

int show_rollout(const Options& options, const Console& console) {
  const std::string body =
      find_daemon(options, console).get("/v1/rollout", options.timeout.value_or(kAnswerTimeout));
  if (options.json) {
    console.out << body;
    return kDone;
  }
  const boost::json::value answer = control::parse_json(body);
  const control::JsonReader in(answer, "");
  if (!in.has("rollout")) {
    console.out << "there was no rollout since the daemon started\n";
    return kDone;
  }
  console.out << print_rollout(control::rollout_from_json(in.at("rollout")));
  return kDone;
}

int abort_rollout(const Options& options, const Console& console) {
  return tell(options, console, "/v1/rollout/abort");
}

int continue_rollout(const Options& options, const Console& console) {
  return tell(options, console, "/v1/rollout/proceed");
}

int confirm_rollout(const Options& options, const Console& console) {
  return tell(options, console, "/v1/rollout/confirm");
}

}  // namespace appserver::appserverctl

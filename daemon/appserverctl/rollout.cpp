#include <fmt/format.h>

#include <optional>

#include "appserverctl/event_view.hpp"
#include "appserverctl/socket.hpp"
#include "appserverctl/text.hpp"
#include "appserverctl/verbs.hpp"
#include "config/load.hpp"
#include "control/requests.hpp"

namespace appserver::appserverctl {

namespace {

using control::RolloutEvent;

// Shows the events as they come and keeps what the end must know.
class Progress {
 public:
  Progress(const Console& console, bool json) : console_(console), json_(json) {}

  void show(std::string_view line) {
    const RolloutEvent event = control::event_from_json(control::parse_json(line));
    if (event.result) result_ = event.result;
    if (json_) {
      console_.out << line << std::endl;
      return;
    }
    last_ = print_event(event);
    const bool failed = event.result && *event.result != control::RolloutResult::done;
    (failed ? console_.err : console_.out) << last_ << std::endl;
  }

  // The exit code, once the daemon has nothing more to say.
  int finish(std::string_view why_it_ended) const {
    if (result_) return control::exit_code(*result_);
    console_.err << "FAILED: the connection to the daemon was lost: " << escaped(why_it_ended)
                 << '\n';
    if (!last_.empty()) console_.err << "the last that is known: " << last_ << '\n';
    console_.err << "`appserverctl status` shows what runs now\n";
    return kFailed;
  }

 private:
  const Console& console_;
  bool json_;
  std::optional<control::RolloutResult> result_;
  std::string last_;
};

int follow(const Options& options, const Console& console, std::string_view target,
           const boost::json::value& body) {
  std::optional<control::Client> client;
  try {
    client = find_daemon(options, console);
  } catch (const config::ConfigError& error) {
    // The daemon would refuse this file, too; it is not even asked.
    console.err << "REFUSED, nothing was touched: " << escaped_text(error.what()) << '\n';
    return control::exit_code(control::RolloutResult::refused);
  }
  Progress progress(console, options.json);
  try {
    client->stream(target, body, options.timeout,
                   [&](std::string_view line) { progress.show(line); });
  } catch (const control::LostConnection& error) {
    return progress.finish(error.what());
  } catch (const control::BadJson& error) {
    return progress.finish(error.what());
  } catch (const control::TimedOut&) {
    console.err << "--timeout passed; it goes on in the daemon, and `appserverctl status` shows "
                   "how far it is\n";
    return kTimedOut;
  }
  return progress.finish("the answer ended early");
}

}  // namespace

int reload(const Options& options, const Console& console) {
  return follow(options, console, "/v1/reload",
                to_json(control::ReloadRequest{options.names, options.force}));
}

int restart(const Options& options, const Console& console) {
  return follow(options, console, "/v1/restart",
                to_json(control::RestartRequest{options.names[0]}));
}

}  // namespace appserver::appserverctl

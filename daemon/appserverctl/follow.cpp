#include "appserverctl/follow.hpp"

#include <functional>
#include <optional>
#include <ostream>

#include "appserverctl/event_view.hpp"
#include "appserverctl/progress_view.hpp"
#include "appserverctl/socket.hpp"
#include "appserverctl/text.hpp"
#include "config/load.hpp"

namespace appserver::appserverctl {

namespace {

using control::RolloutEvent;
using control::RolloutResult;

// Shows the events as they come and keeps what the end must know.
class Progress {
 public:
  Progress(const Console& console, const Options& options)
      : console_(console), options_(options), view_(console.columns) {}

  // False once there is no need for more.
  bool show(std::string_view line) {
    const RolloutEvent event = control::event_from_json(control::parse_json(line));
    begun_ = true;
    if (event.result) result_ = event.result;
    last_ = print_event(event);
    if (options_.json) {
      console_.out << line << std::endl;
    } else if (event.result) {
      (*result_ == RolloutResult::done ? console_.out : console_.err) << last_ << std::endl;
    } else if (console_.terminal) {
      console_.out << view_.show(event) << std::flush;
    } else {
      console_.out << last_ << std::endl;
    }
    return !options_.no_wait || result_;
  }

  // The exit code, once the daemon has nothing more to say or nobody listens any more.
  int finish(std::string_view why_it_ended) const {
    if (result_) return control::exit_code(*result_);
    if (options_.no_wait && begun_) {
      if (!options_.json) {
        console_.out << "it goes on in the daemon; `appserverctl reload watch` follows it\n";
      }
      return kDone;
    }
    console_.err << "FAILED: the connection to the daemon was lost: " << escaped(why_it_ended)
                 << '\n';
    if (!last_.empty()) console_.err << "the last that is known: " << last_ << '\n';
    console_.err << "`appserverctl status` shows what runs now\n";
    return kFailed;
  }

  int detach() const {
    if (console_.terminal) console_.err << '\n';  // behind the ^C
    console_.err << (begun_ ? "detached; the rollout goes on: appserverctl reload watch\n"
                            : "detached before the daemon answered; `appserverctl reload status` "
                              "tells whether a rollout goes on\n");
    return kTimedOut;
  }

 private:
  const Console& console_;
  const Options& options_;
  ProgressView view_;
  std::optional<RolloutResult> result_;
  std::string last_;
  bool begun_ = false;
};

using Listen = std::function<void(const control::Client&, const control::OnLine&)>;

int follow(const Options& options, const Console& console, control::Client client,
           const Listen& listen) {
  const os::Fd farewell = console.farewell ? console.farewell() : os::Fd();
  client.interrupt_on(farewell.get());
  Progress progress(console, options);
  try {
    listen(client, [&](std::string_view line) { return progress.show(line); });
  } catch (const control::LostConnection& error) {
    return progress.finish(error.what());
  } catch (const control::BadJson& error) {
    return progress.finish(error.what());
  } catch (const control::Interrupted&) {
    return progress.detach();
  } catch (const control::TimedOut&) {
    console.err << "--timeout passed; it goes on in the daemon, and `appserverctl reload watch` "
                   "follows it\n";
    return kTimedOut;
  }
  return progress.finish("the answer ended early");
}

}  // namespace

int start_and_follow(const Options& options, const Console& console, std::string_view target,
                     const boost::json::value& body) {
  std::optional<control::Client> client;
  try {
    client = find_daemon(options, console);
  } catch (const config::UnreadableFile&) {
    throw;
  } catch (const config::ConfigError& error) {
    // The daemon would refuse this file, too; it is not even asked.
    console.err << print_verdict(RolloutResult::refused, error.what()) << '\n';
    return control::exit_code(RolloutResult::refused);
  }
  return follow(options, console, *client,
                [&](const control::Client& daemon, const control::OnLine& on_line) {
                  daemon.stream(target, body, options.timeout, on_line);
                });
}

int follow_again(const Options& options, const Console& console) {
  return follow(options, console, find_daemon(options, console),
                [&](const control::Client& daemon, const control::OnLine& on_line) {
                  daemon.watch("/v1/rollout/events", options.timeout, on_line);
                });
}

}  // namespace appserver::appserverctl

#include "appserverctl/run.hpp"

#include <fmt/format.h>

#include <map>

#include "appserverctl/options.hpp"
#include "appserverctl/socket.hpp"
#include "appserverctl/text.hpp"
#include "appserverctl/verbs.hpp"
#include "config/load.hpp"
#include "os/error.hpp"

namespace appserver::appserverctl {

namespace {

using Action = int (*)(const Options&, const Console&);

int carry_out(const std::vector<std::string>& arguments, const Console& console) {
  static const std::map<std::string, Action> kActions{{"status", show_status},
                                                      {"reload", reload},
                                                      {"reload status", show_rollout},
                                                      {"reload watch", watch},
                                                      {"reload abort", abort_rollout},
                                                      {"reload continue", continue_rollout},
                                                      {"reload confirm", confirm_rollout},
                                                      {"rollback", rollback},
                                                      {"history", show_history},
                                                      {"restart", restart},
                                                      {"scale", scale},
                                                      {"drain", drain},
                                                      {"crashes", show_crashes},
                                                      {"crashes show", show_crash},
                                                      {"stop", stop},
                                                      {"check", check},
                                                      {"version", show_version},
                                                      {"help", show_help}};
  const Options options = parse_options(arguments);
  if (options.verb.starts_with("gateway ")) return ask_gateway(options, console);
  return kActions.at(options.verb)(options, console);
}

int complain(const Console& console, int code, std::string_view problem,
             std::string_view way_out = {}) {
  console.err << "appserverctl: " << escaped_text(problem) << '\n';
  if (!way_out.empty()) console.err << way_out << '\n';
  return code;
}

}  // namespace

int run(const std::vector<std::string>& arguments, const Console& console) {
  try {
    return carry_out(arguments, console);
  } catch (const UsageError& error) {
    return complain(console, kUsage, error.what(), "type `appserverctl help` for what there is");
  } catch (const control::NoDaemon& error) {
    return complain(console, kNoDaemon, fmt::format("no daemon: {}", error.what()),
                    "start appserverd, or name its socket with --socket PATH, --config FILE or "
                    "APPSERVER_SOCKET");
  } catch (const control::TimedOut& error) {
    return complain(console, kFailed, error.what(),
                    "the daemon is there but busy or stopped; --timeout 1m waits longer");
  } catch (const config::ConfigError& error) {
    return complain(console, kFailed, error.what());
  } catch (const os::SystemError& error) {
    const bool denied = error.code() == std::errc::permission_denied;
    return complain(
        console, kFailed, error.what(),
        denied ? "run it as root, as the daemon's user, or as a member of the socket's group" : "");
  } catch (const std::exception& error) {
    return complain(console, kFailed, error.what());
  }
}

}  // namespace appserver::appserverctl

#include "appserverctl/follow.hpp"
#include "appserverctl/verbs.hpp"
#include "control/requests.hpp"

namespace appserver::appserverctl {

int reload(const Options& options, const Console& console) {
  control::ReloadRequest request{options.names, options.force, options.changed, options.dry_run};
  request.canary = options.canary;
  request.hold = options.hold;
  request.confirm_within = options.confirm_within;
  return start_and_follow(options, console, "/v1/reload", to_json(request));
}

int rollback(const Options& options, const Console& console) {
  control::RollbackRequest request{.to = options.number};
  if (!options.names.empty()) request.group = options.names[0];
  request.dry_run = options.dry_run;
  return start_and_follow(options, console, "/v1/rollback", to_json(request));
}

int restart(const Options& options, const Console& console) {
  return start_and_follow(options, console, "/v1/restart",
                          to_json(control::RestartRequest{options.names[0]}));
}

int scale(const Options& options, const Console& console) {
  return start_and_follow(options, console, "/v1/scale",
                          to_json(control::ScaleRequest{options.names[0], options.count}));
}

int drain(const Options& options, const Console& console) {
  return start_and_follow(options, console, "/v1/drain",
                          to_json(control::DrainRequest{options.names[0], options.slot}));
}

int watch(const Options& options, const Console& console) { return follow_again(options, console); }

}  // namespace appserver::appserverctl

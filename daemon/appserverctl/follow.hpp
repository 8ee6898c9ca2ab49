// A rollout on the console, from its first event to the verdict.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "appserverctl/options.hpp"
#include "appserverctl/run.hpp"

namespace appserver::appserverctl {

// Asks for a rollout with a POST and follows it; gives the exit code.
int start_and_follow(const Options& options, const Console& console, std::string_view target,
                     const boost::json::value& body);

// Follows the rollout that runs, or tells how the last one went.
int follow_again(const Options& options, const Console& console);

}  // namespace appserver::appserverctl

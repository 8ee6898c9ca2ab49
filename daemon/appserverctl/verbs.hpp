// What each verb does. They give the exit code, and throw what control::Client throws where they do
// not deal with it.
#pragma once

#include "appserverctl/options.hpp"
#include "appserverctl/run.hpp"

namespace appserver::appserverctl {

int show_status(const Options& options, const Console& console);   // status.cpp
int show_version(const Options& options, const Console& console);  // status.cpp
int reload(const Options& options, const Console& console);        // rollout.cpp
int restart(const Options& options, const Console& console);       // rollout.cpp
int stop(const Options& options, const Console& console);          // stop.cpp
int check(const Options& options, const Console& console);         // check.cpp
int show_help(const Options& options, const Console& console);     // help.cpp

}  // namespace appserver::appserverctl

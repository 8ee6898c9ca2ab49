// What each verb does. They give the exit code, and throw what control::Client throws where they do
// not deal with it.
#pragma once

#include "appserverctl/options.hpp"
#include "appserverctl/run.hpp"

namespace appserver::appserverctl {

int show_status(const Options& options, const Console& console);       // status.cpp
int show_version(const Options& options, const Console& console);      // status.cpp
int reload(const Options& options, const Console& console);            // rollout.cpp
int rollback(const Options& options, const Console& console);          // rollout.cpp
int restart(const Options& options, const Console& console);           // rollout.cpp
int scale(const Options& options, const Console& console);             // rollout.cpp
int drain(const Options& options, const Console& console);             // rollout.cpp
int watch(const Options& options, const Console& console);             // rollout.cpp
int show_rollout(const Options& options, const Console& console);      // steer.cpp
int abort_rollout(const Options& options, const Console& console);     // steer.cpp
int continue_rollout(const Options& options, const Console& console);  // steer.cpp
int confirm_rollout(const Options& options, const Console& console);   // steer.cpp
int show_history(const Options& options, const Console& console);      // records.cpp
int show_crashes(const Options& options, const Console& console);      // records.cpp
int show_crash(const Options& options, const Console& console);        // records.cpp
int ask_gateway(const Options& options, const Console& console);       // gateway.cpp
int stop(const Options& options, const Console& console);              // stop.cpp
int check(const Options& options, const Console& console);             // check.cpp
int show_help(const Options& options, const Console& console);         // help.cpp

}  // namespace appserver::appserverctl

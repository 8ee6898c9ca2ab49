// The daemon: keeps the groups running, answers the control API, and decides on signals.
#pragma once

#include <string>

#include "config/config.hpp"
#include "os/process.hpp"

namespace appserver::supervisor {

// Runs until it is told to stop; gives the exit code for main. Throws, with nothing left running,
// where it cannot start: a plugin that is refused, an address that cannot be had, another daemon on
// the control socket.
//
// SIGHUP reloads, SIGTERM and SIGQUIT stop gracefully (a second one at once), SIGINT stops at once.
int run_supervisor(const config::Config& config, const os::BootState& boot_state,
                   const std::string& version);

}  // namespace appserver::supervisor

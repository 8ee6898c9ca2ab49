// Which daemon is meant.
#pragma once

#include <chrono>

#include "appserverctl/options.hpp"
#include "appserverctl/run.hpp"
#include "control/client.hpp"

namespace appserver::appserverctl {

// For an answer that the daemon need not wait for.
inline constexpr std::chrono::milliseconds kAnswerTimeout{10'000};

// The first of: --socket, the daemon.control.socket of --config, APPSERVER_SOCKET,
// run/appserverd.sock if there is one, /run/appserverd/appserverd.sock. Throws config::ConfigError
// for a --config that cannot be read.
control::Client find_daemon(const Options& options, const Console& console);

}  // namespace appserver::appserverctl

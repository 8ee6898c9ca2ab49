// The process of the bus, one a daemon.
#pragma once

#include <cstddef>

#include "os/fd.hpp"

namespace appserver::bus {

// Serves the connections that come on the channel until the supervisor says drain, is gone, or
// `terminated` becomes readable. `page` is a file that the supervisor reads counters and heartbeats
// from, `log` a worker's log socket. The caller has taken on who it is to be.
int run_bus(os::Fd channel, const os::Fd& page, os::Fd log, os::Fd terminated,
            std::size_t max_bytes);

}  // namespace appserver::bus

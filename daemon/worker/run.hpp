// The process that runs a plugin.
#pragma once

#include <sys/types.h>

namespace appserver::worker {

// The whole life of a worker: boots from what comes over `channel`, serves, drains, and returns the
// exit code for main. Any failure before it is ready is said over the channel.
int run_worker(int channel, pid_t supervisor);

}  // namespace appserver::worker

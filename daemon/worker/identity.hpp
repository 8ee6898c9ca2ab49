// Turning a fresh process into the kind of process its group asks for, before any plugin code runs.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>

#include "config/config.hpp"

namespace appserver::worker {

// Descriptors a worker needs beside its connections.
inline constexpr rlim_t kOwnDescriptors = 128;

// This process dies with `supervisor`: it gets SIGTERM when that one ends. Throws if it has ended
// already.
void bind_to_supervisor(pid_t supervisor);

// Resource limits, priority, processors, environment, user and group, working directory, in an
// order in which a later step never needs what an earlier one gave up. Throws, saying which step
// failed: the process must end then, as it may hold more privileges than its group should have.
void take_on(const config::Group& group, std::uint32_t slot, pid_t supervisor);

}  // namespace appserver::worker

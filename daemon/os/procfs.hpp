// What the kernel says of a process: proc(5).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace appserver::os {

// Resident memory in bytes; 0 where the process is gone.
std::uint64_t resident_bytes(pid_t pid);

// Whether the process is stopped by a signal or a tracer.
bool is_stopped(pid_t pid);

}  // namespace appserver::os

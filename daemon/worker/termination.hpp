// SIGTERM in a worker: somebody wants this process gone, or its supervisor died.
#pragma once

#include <chrono>

#include "os/fd.hpp"

namespace appserver::worker {

// From now on SIGTERM makes the returned eventfd readable, and a process that has not ended `limit`
// after it, however hung its loop, is ended by SIGALRM. Once a process.
os::Fd catch_termination(std::chrono::seconds limit);

}  // namespace appserver::worker

// Ctrl-C and its kin as something to wait for.
#pragma once

#include "os/fd.hpp"

namespace appserver::appserverctl {

// Readable after SIGINT, SIGTERM or SIGHUP, which from now on do not end the process; one that it
// was started to ignore, as by nohup, stays ignored. For a process with one thread. Throws
// os::SystemError.
os::Fd catch_signals();

}  // namespace appserver::appserverctl

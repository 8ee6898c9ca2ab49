// The lock that keeps a second daemon from the same state directory.
#pragma once

#include <filesystem>

#include "os/fd.hpp"

namespace appserver::supervisor {

// Creates the directory (0755) where it is absent, and takes its lock for as long as the descriptor
// lives. Where the directory cannot be written and has no lock file yet, there is nothing to take,
// and no descriptor: who gets none takes the lock before it writes there (Archive::mend()). Throws,
// with the way out, where somebody else has it, and std::system_error where there is no such
// directory and cannot be one.
os::Fd lock_state(const std::filesystem::path& state_dir);

}  // namespace appserver::supervisor

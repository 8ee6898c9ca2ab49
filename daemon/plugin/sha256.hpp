// SHA-256 of open files.
#pragma once

#include <string>

namespace appserver::plugin {

// Of the whole file, in hex. Reads with pread(2), so the file position stays. Throws
// os::SystemError.
std::string sha256(int fd);

}  // namespace appserver::plugin

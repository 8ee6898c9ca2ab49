// The certificates and keys of a group, read and checked by the supervisor, so that the users of
// its workers need not be able to. Reads files: off the supervisor's loop.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "os/fd.hpp"

namespace appserver::supervisor {

// A file as it was at a moment; another one, or another content, is told by it.
struct FileState {
  dev_t device = 0;
  ino_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t written = 0;  // nanoseconds, mtime
  std::int64_t changed = 0;  // ctime: also where only its mode or owner has changed
  friend bool operator==(const FileState&, const FileState&) = default;
};

struct TlsMaterial {
  os::Fd file;                        // certificates::Material in a sealed memory file
  std::vector<FileState> files;       // as they were read; none: there is no certificate
  std::vector<std::string> warnings;  // what is amiss though it works
  std::chrono::steady_clock::time_point read = std::chrono::steady_clock::now();
};

using TlsMaterialPtr = std::shared_ptr<const TlsMaterial>;

// Throws std::exception that names the file which is no good. `tls` is used.
TlsMaterialPtr load_tls(const config::Tls& tls);

// Null for a group without TLS. Throws as load_tls(), naming the key of the configuration.
TlsMaterialPtr load_tls_of(const config::Group& group);

// Where the files are no good and nothing was read before: workers close what comes under TLS.
TlsMaterialPtr no_tls();

// As TlsMaterial::files; one that cannot be looked at is like no other.
std::vector<FileState> look_at(const config::Tls& tls);

}  // namespace appserver::supervisor

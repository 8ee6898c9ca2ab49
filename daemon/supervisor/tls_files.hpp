// The certificates and keys of a group, read and checked by the supervisor, so that the users of
// its workers need not be able to. Reads files: off the supervisor's loop.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certificates/names.hpp"
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

// One of config::Tls::certificates, as it is served.
struct ServedCertificate {
  std::filesystem::path file;
  bool is_served = false;           // what follows is empty where it is not
  std::vector<std::string> names;   // certificates::dns_names()
  certificates::Validity validity;  // of the server's own, the chain's first
  // Why what lies in its files is not what is served: then one that was read before is, or none.
  // Empty: it is.
  std::string problem;
};

struct TlsMaterial {
  os::Fd file;                        // certificates::Material in a sealed memory file
  std::vector<FileState> files;       // as they were read; one that was not is like no other
  std::vector<std::string> warnings;  // what is amiss with files though it works
  std::vector<ServedCertificate> certificates;  // one for each of config::Tls::certificates
  std::string authorities_problem;              // as ServedCertificate::problem, of the client_ca
  std::string secret_problem;                   // alike, of the secret_file
  // When a file that is not valid yet is to be read again though it stays as it is.
  std::optional<std::chrono::sys_seconds> again;
  bool as_before = false;  // `file` holds what the one before it holds
  std::chrono::steady_clock::time_point read = std::chrono::steady_clock::now();

  bool serves_any() const;
};

using TlsMaterialPtr = std::shared_ptr<const TlsMaterial>;

// Throws std::exception that names the file which is no good. `tls` is used. One that has expired
// is good enough: clients see what is amiss.
TlsMaterialPtr load_tls(const config::Tls& tls);

// Null for a group without TLS. Throws as load_tls(), naming the key of the configuration; also
// where a certificate that is not valid now would take the place of one `in_use` that is. `in_use`
// may be null.
TlsMaterialPtr load_tls_of(const config::Group& group, const TlsMaterial* in_use);

// The same of the group's link; null without one.
TlsMaterialPtr load_link_of(const config::Group& group);

// What can be served with files of which some may be no good: each that is not, or that is not
// valid now, leaves that of `before` in place, if it is better. `before`: of the same `tls`; null:
// nothing was read. Throws only where no memory file can be made.
TlsMaterialPtr load_what_serves(const config::Tls& tls, const TlsMaterial* before);

// As TlsMaterial::files; one that cannot be looked at is empty.
std::vector<FileState> look_at(const config::Tls& tls);

}  // namespace appserver::supervisor

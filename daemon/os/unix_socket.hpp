// Unix sockets and their names in the file system: unix(7).
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <cstddef>
#include <filesystem>

#include "os/fd.hpp"

namespace appserver::os {

// Bytes of the longest path that a socket can have.
inline constexpr std::size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

// What stands where a socket shall be made, as connect(2) tells.
struct Occupant {
  enum class Kind { nobody, not_a_socket, listening, stale, unknown };
  Kind kind = Kind::nobody;
  uid_t owner = 0;  // of the file
  int error = 0;    // unknown: why it could not be asked
  Fd connection;    // listening: to whoever does; none if its queue is full
};

// Follows no link. Throws SystemError; std::invalid_argument for a path that no socket can have.
Occupant find_occupant(const std::filesystem::path& path);

// The file of a socket. Removes it at the end, if it is still the same one.
class SocketName final {
 public:
  SocketName() = default;  // of none
  // Of the file that stands at `path` now. Throws SystemError.
  explicit SocketName(std::filesystem::path path);
  SocketName(SocketName&& other) noexcept;
  SocketName& operator=(SocketName&& other) noexcept;
  SocketName(const SocketName&) = delete;
  SocketName& operator=(const SocketName&) = delete;
  ~SocketName() { remove(); }

  void remove();

 private:
  std::filesystem::path path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;  // 0: nothing of ours at path_
};

struct NamedSocket {
  Fd socket;
  SocketName name;
};

// A stream socket, non-blocking and close-on-exec, that has `mode` from its first moment and does
// not listen yet. Changes the umask of the process for the time of bind(2). Throws as
// find_occupant() does.
NamedSocket bind_unix_socket(const std::filesystem::path& path, mode_t mode);

}  // namespace appserver::os

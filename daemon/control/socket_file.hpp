// The place of the control socket in the file system: one daemon per path, nothing left behind.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "os/fd.hpp"
#include "os/unix_socket.hpp"

namespace appserver::control {

// Another process serves this path already; what() says which and what to do.
class AlreadyRunning : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A listening unix socket at a path, and the flock'd PATH.lock that keeps a second daemon from
// taking it. A socket that a dead daemon left behind is replaced. Absent folders are created with
// 0750; the socket is 0660 from its first moment. The constructor changes the umask of the process
// for the time of bind(2): call it before other threads create files.
class SocketFile {
 public:
  // Throws AlreadyRunning; os::SystemError; std::invalid_argument for a path that a socket cannot
  // have.
  explicit SocketFile(std::filesystem::path path);
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // The listening socket, non-blocking; empty after the first call.
  os::Fd take() { return std::move(socket_); }

  // Removes the socket from the file system, if it is still ours. The lock stays held.
  void remove() { name_.remove(); }

 private:
  std::filesystem::path path_;
  os::Fd lock_;
  os::Fd socket_;
  os::SocketName name_;
};

}  // namespace appserver::control

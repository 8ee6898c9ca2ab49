#include "os/unix_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "os/error.hpp"

namespace appserver::os {
namespace {

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.native().size() > kLongestSocketPath) {
    throw std::invalid_argument(fmt::format("\"{}\": the path of a unix socket has 1 to {} bytes",
                                            path.native(), kLongestSocketPath));
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  const void* pointer = &address;
  return static_cast<const sockaddr*>(pointer);
}

Fd new_socket() {
  return Fd(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                  "socket(AF_UNIX, SOCK_STREAM)"));
}

}  // namespace

Occupant find_occupant(const std::filesystem::path& path) {
  const sockaddr_un address = address_of(path);
  Occupant found;
  struct stat status {};
  if (::lstat(path.c_str(), &status) < 0) {
    if (errno == ENOENT) return found;
    check(-1, "stat(\"{}\")", path.native());
  }
  found.owner = status.st_uid;
  if (!S_ISSOCK(status.st_mode)) {
    found.kind = Occupant::Kind::not_a_socket;
    return found;
  }
  Fd probe = new_socket();
  const int error = ::connect(probe.get(), generic(address), sizeof(address)) == 0 ? 0 : errno;
  switch (error) {
    case 0:
      found.kind = Occupant::Kind::listening;
      found.connection = std::move(probe);
      return found;
    case EAGAIN:  // somebody listens and has a full queue
      found.kind = Occupant::Kind::listening;
      return found;
    case ECONNREFUSED:
      found.kind = Occupant::Kind::stale;
      return found;
    case ENOENT:
      found.kind = Occupant::Kind::nobody;
      return found;
    default:
      found.kind = Occupant::Kind::unknown;
      found.error = error;
      return found;
  }
}

SocketName::SocketName(std::filesystem::path path) : path_(std::move(path)) {
  struct stat status {};
  check(::lstat(path_.c_str(), &status), "stat(\"{}\")", path_.native());
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

SocketName::SocketName(SocketName&& other) noexcept
    : path_(std::move(other.path_)),
      device_(other.device_),
      inode_(std::exchange(other.inode_, 0)) {}

SocketName& SocketName::operator=(SocketName&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::move(other.path_);
  device_ = other.device_;
  inode_ = std::exchange(other.inode_, 0);
  return *this;
}

void SocketName::remove() {
  if (inode_ == 0) return;
  struct stat status {};
  if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  inode_ = 0;
}

NamedSocket bind_unix_socket(const std::filesystem::path& path, mode_t mode) {
  const sockaddr_un address = address_of(path);
  Fd socket = new_socket();
  // Never a chmod after bind: in between, the socket would be open to more callers than it should
  // be.
  const mode_t before = ::umask(0777 & ~mode);
  const int bound = ::bind(socket.get(), generic(address), sizeof(address));
  const int error = errno;
  ::umask(before);
  if (bound != 0) throw_system_error(error, fmt::format("bind(\"{}\")", path.native()));
  return {std::move(socket), SocketName(path)};
}

}  // namespace appserver::os

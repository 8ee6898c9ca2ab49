#include "control/socket_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "control/peer.hpp"
#include "os/error.hpp"

namespace appserver::control {

namespace fs = std::filesystem;

namespace {

fs::path lock_path(const fs::path& path) { return path.native() + ".lock"; }

::sockaddr_un address_of(const fs::path& path) {
  ::sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.native().size() >= sizeof(address.sun_path)) {
    throw std::invalid_argument(
        fmt::format("control socket \"{}\": a socket's path has 1 to {} bytes; choose a shorter "
                    "daemon.control.socket",
                    path.native(), sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return address;
}

const ::sockaddr* generic(const ::sockaddr_un& address) {
  const void* pointer = &address;
  return static_cast<const ::sockaddr*>(pointer);
}

void create_folders(const fs::path& folder) {
  if (folder.empty() || fs::exists(folder)) return;
  create_folders(folder.parent_path());
  if (::mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) {
    const int error = errno;
    os::throw_system_error(error,
                           fmt::format("mkdir(\"{}\") for the control socket", folder.native()));
  }
}

AlreadyRunning already_running(const fs::path& path, const std::string& pid) {
  return AlreadyRunning(
      fmt::format("another appserverd (pid {}) is running on {}; stop it with `appserverctl "
                  "--socket {} stop`, or set "
                  "another daemon.control.socket",
                  pid.empty() ? "unknown" : pid, path.native(), path.native()));
}

// Only digits, as the file is writable for whoever owned the folder before us.
std::string pid_in(const os::Fd& lock) {
  char text[16];
  const ::ssize_t size = ::pread(lock.get(), text, sizeof(text), 0);
  std::string pid;
  for (::ssize_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; ++i) pid += text[i];
  return pid;
}

bool same_file(const os::Fd& file, const fs::path& path) {
  struct ::stat opened {};
  struct ::stat named {};
  return ::fstat(file.get(), &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

os::Fd take_lock(const fs::path& path) {
  const fs::path name = lock_path(path);
  for (;;) {
    os::Fd lock = os::open_file(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw already_running(path, pid_in(lock));
      os::check(-1, "flock(\"{}\")", name.native());
    }
    // The last owner removes the file while it holds the lock, so what we locked may be gone from
    // the folder by now.
    if (!same_file(lock, name)) continue;
    os::check(::ftruncate(lock.get(), 0), "ftruncate(\"{}\")", name.native());
    os::write_all(lock.get(), fmt::format("{}\n", ::getpid()));
    return lock;
  }
}

os::Fd new_socket() {
  return os::Fd(os::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                          "socket(AF_UNIX, SOCK_STREAM)"));
}

// We hold the lock, so a socket that nobody answers on is what a dead daemon left.
void remove_stale(const fs::path& path, const ::sockaddr_un& address) {
  struct ::stat found {};
  if (::lstat(path.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode)) {
    os::throw_system_error(
        EEXIST,
        fmt::format(
            "{} exists and is not a socket; remove it, or set another daemon.control.socket",
            path.native()));
  }
  const os::Fd probe = new_socket();
  const int result = ::connect(probe.get(), generic(address), sizeof(address));
  // EAGAIN: somebody listens and has a full queue.
  if (result == 0) throw already_running(path, fmt::to_string(peer_credentials(probe.get()).pid));
  if (errno == EAGAIN) throw already_running(path, "");
  if (errno != ECONNREFUSED && errno != ENOENT) os::check(-1, "connect(\"{}\")", path.native());
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    os::check(-1, "unlink(\"{}\")", path.native());
}

}  // namespace

SocketFile::SocketFile(fs::path path) : path_(std::move(path)) {
  const ::sockaddr_un address = address_of(path_);
  create_folders(path_.parent_path());
  lock_ = take_lock(path_);
  remove_stale(path_, address);
  socket_ = new_socket();
  // Never a chmod after bind: in between, the socket would be open to more callers than it should
  // be.
  const ::mode_t before = ::umask(0117);
  const int bound = ::bind(socket_.get(), generic(address), sizeof(address));
  const int error = errno;
  ::umask(before);
  if (bound != 0) os::throw_system_error(error, fmt::format("bind(\"{}\")", path_.native()));
  struct ::stat made {};
  os::check(::lstat(path_.c_str(), &made), "stat(\"{}\")", path_.native());
  device_ = made.st_dev;
  inode_ = made.st_ino;
  os::check(::listen(socket_.get(), 64), "listen(\"{}\")", path_.native());
}

SocketFile::~SocketFile() {
  remove();
  if (lock_ && same_file(lock_, lock_path(path_))) ::unlink(lock_path(path_).c_str());
}

void SocketFile::remove() {
  struct ::stat found {};
  if (inode_ != 0 && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  inode_ = 0;
}

}  // namespace appserver::control

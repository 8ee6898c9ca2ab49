#include "control/socket_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <thread>

#include "control/peer.hpp"
#include "os/error.hpp"

namespace appserver::control {

namespace fs = std::filesystem;

namespace {

fs::path lock_path(const fs::path& path) { return path.native() + ".lock"; }

void check_path(const fs::path& path) {
  if (!path.empty() && path.native().size() <= os::kLongestSocketPath) return;
  throw std::invalid_argument(
      fmt::format("control socket \"{}\": a socket's path has 1 to {} bytes; choose a shorter "
                  "daemon.control.socket",
                  path.native(), os::kLongestSocketPath));
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

// A daemon that was killed while it started a process leaves its lock to that for a moment, until
// it has become another program.
constexpr std::chrono::milliseconds kDeadOwner{1'000};
constexpr std::chrono::milliseconds kLookAgain{10};

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

bool is_alive(const std::string& pid) {
  pid_t number = 0;
  const auto parsed = std::from_chars(pid.data(), pid.data() + pid.size(), number);
  return parsed.ec == std::errc{} && number > 0 && (::kill(number, 0) == 0 || errno != ESRCH);
}

os::Fd take_lock(const fs::path& path) {
  const fs::path name = lock_path(path);
  const auto deadline = std::chrono::steady_clock::now() + kDeadOwner;
  for (;;) {
    os::Fd lock = os::open_file(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) os::check(-1, "flock(\"{}\")", name.native());
      const std::string pid = pid_in(lock);
      const bool late = std::chrono::steady_clock::now() > deadline;
      if (late || is_alive(pid)) throw already_running(path, pid);
      std::this_thread::sleep_for(kLookAgain);
      continue;
    }
    // The last owner removes the file while it holds the lock, so what we locked may be gone from
    // the folder by now.
    if (!same_file(lock, name)) continue;
    os::check(::ftruncate(lock.get(), 0), "ftruncate(\"{}\")", name.native());
    os::write_all(lock.get(), fmt::format("{}\n", ::getpid()));
    return lock;
  }
}

// We hold the lock, so a socket that nobody answers on is what a dead daemon left.
void remove_stale(const fs::path& path) {
  using Kind = os::Occupant::Kind;
  const os::Occupant found = os::find_occupant(path);
  switch (found.kind) {
    case Kind::nobody:
      return;
    case Kind::not_a_socket:
      os::throw_system_error(
          EEXIST,
          fmt::format(
              "{} exists and is not a socket; remove it, or set another daemon.control.socket",
              path.native()));
    case Kind::listening:
      throw already_running(path, found.connection
                                      ? fmt::to_string(peer_credentials(found.connection.get()).pid)
                                      : "");
    case Kind::unknown:
      os::throw_system_error(found.error, fmt::format("connect(\"{}\")", path.native()));
    case Kind::stale:
      break;
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    os::check(-1, "unlink(\"{}\")", path.native());
}

}  // namespace

SocketFile::SocketFile(fs::path path) : path_(std::move(path)) {
  check_path(path_);
  create_folders(path_.parent_path());
  lock_ = take_lock(path_);
  remove_stale(path_);
  os::NamedSocket bound = os::bind_unix_socket(path_, 0660);
  socket_ = std::move(bound.socket);
  name_ = std::move(bound.name);
  os::check(::listen(socket_.get(), 64), "listen(\"{}\")", path_.native());
}

SocketFile::~SocketFile() {
  remove();
  if (lock_ && same_file(lock_, lock_path(path_))) ::unlink(lock_path(path_).c_str());
}

}  // namespace appserver::control

// Files and processes for the tests of what the supervisor keeps on disk.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "os/error.hpp"
#include "os/fd.hpp"

namespace appserver::supervisor::test {

class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "records-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::string read(const std::filesystem::path& file) {
  return os::read_file(file, std::size_t{64} << 20);
}

inline void write(const std::filesystem::path& file, std::string_view content) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream << content << std::flush;
  if (!stream) throw std::runtime_error("cannot write " + file.native());
}

inline mode_t mode_of(const std::filesystem::path& file) {
  struct stat status {};
  os::check(::stat(file.c_str(), &status), "stat(\"{}\")", file.native());
  return status.st_mode & 07777;
}

// All files below a folder, by name, with their content.
inline std::map<std::string, std::string> contents(const std::filesystem::path& directory) {
  std::map<std::string, std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) found[entry.path().filename()] = read(entry.path());
  }
  return found;
}

// Whether `work`, in a process of its own, returns true.
inline bool in_child(const std::function<bool()>& work) {
  const pid_t child = os::check(::fork(), "fork()");
  if (child == 0) {
    bool fine = false;
    try {
      fine = work();
    } catch (const std::exception& error) {
      ::dprintf(STDERR_FILENO, "%s\n", error.what());
    }
    ::_exit(fine ? 0 : 1);
  }
  int status = 0;
  os::check(::waitpid(child, &status, 0), "waitpid({})", child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// In a process of its own, as a user whom permissions bind: the folder and what is in it are its
// own.
inline bool as_a_bound_user(const Folder& folder, const std::function<bool()>& work) {
  return in_child([&] {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0) {
      os::check(::chown(folder.path().c_str(), kNobody, kNobody), "chown()");
      os::check(::setresgid(kNobody, kNobody, kNobody), "setresgid()");
      os::check(::setresuid(kNobody, kNobody, kNobody), "setresuid()");
    }
    return work();
  });
}

// From now on no file of this process grows beyond.
inline void limit_file_size(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  os::check(::setrlimit(RLIMIT_FSIZE, &limit), "setrlimit(RLIMIT_FSIZE)");
  std::signal(SIGXFSZ, SIG_IGN);
}

// Whether it throws os::SystemError with this errno.
inline bool fails_with(int error, const std::function<void()>& work) {
  try {
    work();
  } catch (const os::SystemError& thrown) {
    return thrown.code().value() == error;
  }
  return false;
}

enum class Kill { at_any_moment, after_one };

// Runs `work` for ever and kills it: within this time, or within this time after it was done once.
inline void repeat_and_kill(const std::function<void()>& work, Kill when, useconds_t within) {
  int ends[2];
  os::check(::pipe2(ends, O_CLOEXEC), "pipe2()");
  const os::Fd from_child(ends[0]);
  os::Fd to_parent(ends[1]);
  const pid_t child = os::check(::fork(), "fork()");
  if (child == 0) {
    try {
      work();
      os::write_all(to_parent.get(), ".");
      for (;;) work();
    } catch (const std::exception& error) {
      ::dprintf(STDERR_FILENO, "%s\n", error.what());
    }
    ::_exit(1);
  }
  to_parent.reset();
  char done = 0;
  if (when == Kill::after_one) os::check(::read(from_child.get(), &done, 1), "read()");
  // Not to wait for anything: the moment of the kill is what varies.
  ::usleep(within);
  os::check(::kill(child, SIGKILL), "kill({})", child);
  int status = 0;
  os::check(::waitpid(child, &status, 0), "waitpid({})", child);
  if (!WIFSIGNALED(status)) throw std::runtime_error("it ended before it was killed");
}

}  // namespace appserver::supervisor::test

// Starting, signalling and reaping child processes by pidfd: fork(2), pidfd_open(2), waitid(2).
#pragma once

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.hpp"

namespace appserver::os {

// What this process was started with, to be given to its children whatever it has changed for
// itself since.
class BootState {
 public:
  // The state as it is now; to be taken first thing in main.
  static BootState capture();

  const std::vector<std::string>& environment() const { return environment_; }

 private:
  friend struct ChildSetup;
  BootState() = default;
  std::vector<std::string> environment_;
  sigset_t mask_{};
  std::array<bool, NSIG> ignored_{};
  std::array<rlimit, RLIM_NLIMITS> limits_{};
};

struct Child {
  pid_t pid = 0;
  Fd pidfd;
};

// Exit code of a child that could not become a program.
inline constexpr int kCannotExec = 127;

// Starts this very program image again (/proc/self/exe, also after the file was replaced) in a
// session of its own, with the boot state, `inherited[i]` as descriptor i and no other. Throws
// SystemError where no process can be made; a child that cannot go on says so on descriptor 2 and
// exits with kCannotExec.
Child spawn_self(const BootState& boot, const std::vector<std::string>& arguments,
                 const std::vector<int>& inherited);

// False where the process is gone.
bool send_signal(const Child& child, int signal);

struct ExitStatus {
  bool signalled = false;
  int code = 0;  // exit code, or signal number
  bool core = false;
};

// Reaps the child if it has ended; a stopped one has not.
std::optional<ExitStatus> try_reap(const Child& child);
// Waits for the end of one that was killed: no longer than the kernel needs to end it.
void reap_killed(const Child& child) noexcept;

// Reaps the ended processes that the kernel gave to this one as the first of its PID namespace (a
// container's). To be called after SIGCHLD. Children that were not made by spawn_self would be
// taken for such.
void reap_strangers();

// "SIGSEGV"; "signal 77" where it has no name.
std::string signal_name(int signal);

}  // namespace appserver::os

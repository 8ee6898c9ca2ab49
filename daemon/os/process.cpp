#include "os/process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

#include "os/error.hpp"

namespace appserver::os {
namespace {

// What a service manager tells the process that it started: in a child it would speak for us.
bool is_for_us_alone(std::string_view entry) {
  constexpr std::array<std::string_view, 6> kNames{
      "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=",
      "LISTEN_FDS=",    "LISTEN_PID=",    "LISTEN_FDNAMES="};
  return std::ranges::any_of(kNames,
                             [entry](std::string_view name) { return entry.starts_with(name); });
}

}  // namespace

BootState BootState::capture() {
  BootState state;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is_for_us_alone(*entry)) state.environment_.emplace_back(*entry);
  }
  check(::sigprocmask(SIG_SETMASK, nullptr, &state.mask_), "sigprocmask()");
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    const bool known = ::sigaction(number, nullptr, &action) == 0;
    state.ignored_[static_cast<std::size_t>(number)] = known && action.sa_handler == SIG_IGN;
  }
  for (std::size_t i = 0; i < state.limits_.size(); ++i) {
    check(::getrlimit(static_cast<__rlimit_resource_t>(i), &state.limits_[i]), "getrlimit({})", i);
  }
  return state;
}

// What a child does between fork and exec. Only async-signal-safe calls: the parent may have
// threads.
struct ChildSetup {
  const BootState& boot;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<int> sources;

  [[noreturn]] static void fail(std::string_view what) {
    static_cast<void>(!::write(STDERR_FILENO, what.data(), what.size()));
    ::_exit(kCannotExec);
  }

  [[noreturn]] void run() {
    ::setsid();
    const int count = static_cast<int>(sources.size());
    // Two steps, so that no source is overwritten before it was copied.
    for (int& source : sources) {
      source = ::fcntl(source, F_DUPFD, count);
      if (source < 0) fail("cannot duplicate a descriptor for the new process\n");
    }
    for (int target = 0; target < count; ++target) {
      if (::dup2(sources[static_cast<std::size_t>(target)], target) < 0) {
        fail("cannot place a descriptor for the new process\n");
      }
    }
    if (::syscall(SYS_close_range, count, ~0U, 0) < 0) fail("cannot close descriptors\n");
    for (std::size_t i = 0; i < boot.limits_.size(); ++i) {
      // Lowered hard limits cannot be raised again without privilege; what is lower than at the
      // start is no harm.
      ::setrlimit(static_cast<__rlimit_resource_t>(i), &boot.limits_[i]);
    }
    for (int number = 1; number < NSIG; ++number) {
      struct sigaction action {};
      action.sa_handler = boot.ignored_[static_cast<std::size_t>(number)] ? SIG_IGN : SIG_DFL;
      ::sigaction(number, &action, nullptr);
    }
    ::sigprocmask(SIG_SETMASK, &boot.mask_, nullptr);
    ::execve("/proc/self/exe", argv.data(), envp.data());
    fail("cannot start the program image again: is /proc mounted?\n");
  }
};

namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  // execve(2) takes them as char* for history's sake and does not write to them.
  for (const auto& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

// Spawned and not yet reaped. Only the supervisor's loop spawns.
std::set<pid_t>& own_children() {
  static std::set<pid_t> children;
  return children;
}

void forget(const Child& child) {
  own_children().erase(child.pid);
  if (::getpid() == 1) reap_strangers();
}

}  // namespace

Child spawn_self(const BootState& boot, const std::vector<std::string>& arguments,
                 const std::vector<int>& inherited) {
  ChildSetup setup{boot, pointers(arguments), pointers(boot.environment()), inherited};
  // All signals stay blocked until the child has its own handlers' absence restored: none of ours
  // may run in it.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  check(::pthread_sigmask(SIG_SETMASK, &all, &before), "pthread_sigmask()");
  const pid_t pid = ::fork();
  const int error = errno;
  if (pid == 0) setup.run();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw_system_error(error, "fork()");
  Child child;
  child.pid = pid;
  // The pid cannot have been reused: nobody has reaped it.
  const auto pidfd = ::syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) {
    const int cause = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    throw_system_error(cause, fmt::format("pidfd_open({})", pid));
  }
  child.pidfd = Fd(static_cast<int>(pidfd));
  own_children().insert(pid);
  return child;
}

bool send_signal(const Child& child, int signal) {
  return ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), signal, nullptr, 0) == 0;
}

std::optional<ExitStatus> try_reap(const Child& child) {
  siginfo_t info{};
  const int result = retry_on_interrupt([&] {
    return ::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | WNOHANG);
  });
  check(result, "waitid(pid {})", child.pid);
  if (info.si_pid == 0) return std::nullopt;
  forget(child);
  return ExitStatus{info.si_code != CLD_EXITED, info.si_status, info.si_code == CLD_DUMPED};
}

void reap_killed(const Child& child) noexcept {
  siginfo_t info{};
  retry_on_interrupt(
      [&] { return ::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED); });
  forget(child);
}

void reap_strangers() {
  for (;;) {
    siginfo_t info{};
    const int seen =
        retry_on_interrupt([&] { return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT); });
    // One of ours hides those behind it, until its pidfd has told of it: then forget() looks again.
    if (seen < 0 || info.si_pid == 0 || own_children().contains(info.si_pid)) return;
    ::waitpid(info.si_pid, nullptr, WNOHANG);
  }
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name);
}

}  // namespace appserver::os

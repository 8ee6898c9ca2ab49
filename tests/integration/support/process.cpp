#include "support/process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <ostream>
#include <stdexcept>

#include "os/error.hpp"

extern char** environ;

namespace appserver::integration {

namespace {

constexpr int kExecFailed = 127;

os::Fd memory_file(const char* name) {
  os::Fd file(os::check(::memfd_create(name, MFD_CLOEXEC), "memfd_create({})", name));
  // Appending keeps the lines of several writers apart.
  os::check(::fcntl(file.get(), F_SETFL, O_APPEND), "fcntl({}, F_SETFL)", name);
  return file;
}

std::string content_of(const os::Fd& file) {
  std::string content;
  char piece[65536];
  for (;;) {
    const auto offset = static_cast<off_t>(content.size());
    const ssize_t count = ::pread(file.get(), piece, sizeof(piece), offset);
    if (count <= 0) return content;
    content.append(piece, static_cast<std::size_t>(count));
  }
}

std::vector<std::string> merged_environment(const std::vector<std::string>& extra) {
  std::map<std::string, std::string> merged;
  const auto add = [&](const std::string& entry) {
    merged[entry.substr(0, entry.find('='))] = entry;
  };
  for (char** entry = environ; *entry != nullptr; ++entry) add(*entry);
  for (const auto& entry : extra) add(entry);
  std::vector<std::string> result;
  for (auto& [key, entry] : merged) result.push_back(std::move(entry));
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

struct ChildPlan {
  char* const* argv;
  char* const* environment;
  const char* directory;
  std::optional<uid_t> user;
  int out;
  int err;
};

bool become_user(uid_t user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
         ::setresuid(user, user, user) == 0;
}

// Between fork and exec of a process with threads: system calls only, nothing that allocates or
// locks.
[[noreturn]] void become_child(const ChildPlan& plan) {
  ::setpgid(0, 0);
  // What the test was started with, such as an ignored SIGTERM, is not handed on.
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (plan.user && !become_user(*plan.user)) ::_exit(kExecFailed);
  // After the change of user, which would clear it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(plan.out, STDOUT_FILENO);
  ::dup2(plan.err, STDERR_FILENO);
  if (*plan.directory != '\0' && ::chdir(plan.directory) != 0) ::_exit(kExecFailed);
  ::execvpe(plan.argv[0], plan.argv, plan.environment);
  ::dprintf(STDERR_FILENO, "exec(%s): %s\n", plan.argv[0], ::strerror(errno));
  ::_exit(kExecFailed);
}

// A signal to a child that has yet to exec must not run a handler of the test's.
pid_t fork_with_signals_blocked(const ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become_child(plan);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return pid;
}

std::string joined(const std::vector<std::string>& argv) {
  std::string text;
  for (const auto& argument : argv) text += (text.empty() ? "" : " ") + argument;
  return text;
}

}  // namespace

std::string Exit::text() const {
  if (signal != 0) return std::string("killed by ") + ::strsignal(signal);
  return "exit code " + std::to_string(code);
}

std::ostream& operator<<(std::ostream& stream, const Exit& exit) { return stream << exit.text(); }

Process::Process(std::vector<std::string> argv, SpawnOptions options)
    : out_(memory_file("stdout")), err_(memory_file("stderr")), command_(joined(argv)) {
  auto environment = merged_environment(options.environment);
  const auto argv_pointers = pointers(argv);
  const auto environment_pointers = pointers(environment);
  const ChildPlan plan{argv_pointers.data(),
                       environment_pointers.data(),
                       options.directory.c_str(),
                       options.user,
                       out_.get(),
                       err_.get()};
  pid_ = fork_with_signals_blocked(plan);
  os::check(pid_, "fork for {}", command_);
  pidfd_ = os::Fd(
      static_cast<int>(os::check(::syscall(SYS_pidfd_open, pid_, 0), "pidfd_open({})", pid_)));
}

Process::~Process() {
  if (wait(0ms)) return;
  signal(SIGKILL);
  wait(10s);
}

void Process::signal(int number) const {
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::optional<Exit> Process::wait(Deadline deadline) {
  if (exit_) return exit_;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  while (::poll(&ended, 1, deadline.poll_timeout()) < 0 && errno == EINTR) {
  }
  if (ended.revents == 0) return std::nullopt;
  siginfo_t info{};
  os::check(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED), "waitid({})", pid_);
  exit_ = info.si_code == CLD_EXITED ? Exit{info.si_status, 0} : Exit{-1, info.si_status};
  return exit_;
}

std::string Process::out() const { return content_of(out_); }
std::string Process::err() const { return content_of(err_); }

std::string Finished::text() const {
  return exit.text() + "\nstdout:\n" + out + "\nstderr:\n" + err;
}

Finished run(std::vector<std::string> argv, Deadline deadline, SpawnOptions options) {
  Process process(std::move(argv), std::move(options));
  const auto exit = process.wait(deadline);
  if (!exit) {
    throw std::runtime_error(process.command() + " did not end in time\nstdout:\n" + process.out() +
                             "\nstderr:\n" + process.err());
  }
  return {*exit, process.out(), process.err()};
}

}  // namespace appserver::integration

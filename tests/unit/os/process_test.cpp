#include "os/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <set>
#include <string>

#include "os/error.hpp"
#include "os/memfd.hpp"

using namespace appserver;

namespace {

constexpr int kDeadline = 60'000;
constexpr int kReportFd = 3;
constexpr const char* kVariable = "OS_PROCESS_TEST";

bool is_blocked(int signal) {
  sigset_t mask;
  ::sigprocmask(SIG_SETMASK, nullptr, &mask);
  return ::sigismember(&mask, signal) == 1;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  ::sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

rlim_t open_files_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::string open_descriptors() {
  std::set<int> numbers;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') numbers.insert(std::atoi(entry->d_name));
  }
  numbers.erase(::dirfd(folder));
  ::closedir(folder);
  std::string text;
  for (const int number : numbers) text += std::to_string(number) + " ";
  return text;
}

std::string state_of_this_process() {
  const char* variable = std::getenv(kVariable);
  if (variable == nullptr) variable = "none";
  return fmt::format(
      "usr1 blocked {}, hup blocked {}, usr2 ignored {}, pipe ignored {}, files {}, "
      "variable {}, leads its session {}, descriptors {}",
      is_blocked(SIGUSR1), is_blocked(SIGHUP), is_ignored(SIGUSR2), is_ignored(SIGPIPE),
      open_files_limit(), variable, ::getsid(0) == ::getpid(), open_descriptors());
}

struct Spawned {
  os::Child child;
  os::Fd commands;  // closing it ends a child that waits
  os::Fd report;
};

// Starts this test program as the hidden test below. `command` is its first input.
Spawned spawn(const os::BootState& boot, std::string_view command) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  os::check(::pipe2(in.data(), O_CLOEXEC), "pipe2()");
  os::check(::pipe2(out.data(), O_CLOEXEC), "pipe2()");
  const os::Fd child_in(in[0]);
  const os::Fd child_out(out[1]);
  const os::Fd null = os::open_file("/dev/null", O_WRONLY);
  Spawned spawned{{}, os::Fd(in[1]), os::Fd(out[0])};
  os::write_all(spawned.commands.get(), command);
  spawned.child = os::spawn_self(boot, {"unit_os", "[spawned]"},
                                 {child_in.get(), null.get(), STDERR_FILENO, child_out.get()});
  return spawned;
}

os::ExitStatus wait_for_end(const os::Child& child) {
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  REQUIRE(::poll(&ended, 1, kDeadline) == 1);
  const auto status = os::try_reap(child);
  REQUIRE(status);
  return *status;
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    pollfd readable{fd, POLLIN, 0};
    REQUIRE(::poll(&readable, 1, kDeadline) == 1);
    const auto got = ::read(fd, buffer.data(), buffer.size());
    REQUIRE(got >= 0);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

char state_letter(pid_t pid) {
  const std::string stat = os::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  return stat.at(stat.rfind(')') + 2);
}

// What the test changes for itself after the boot state was taken, undone at its end.
class ChangedState {
 public:
  ChangedState() {
    ::sigprocmask(SIG_SETMASK, nullptr, &mask_);
    ::getrlimit(RLIMIT_NOFILE, &limit_);
  }
  ~ChangedState() {
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
    ::signal(SIGUSR2, SIG_DFL);
    ::signal(SIGPIPE, SIG_DFL);
    ::setrlimit(RLIMIT_NOFILE, &limit_);
    ::unsetenv(kVariable);
  }
  ChangedState(const ChangedState&) = delete;
  ChangedState& operator=(const ChangedState&) = delete;
  rlim_t files() const { return limit_.rlim_cur; }

 private:
  sigset_t mask_{};
  rlimit limit_{};
};

void set_blocked(int signal, int how) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::sigprocmask(how, &set, nullptr);
}

}  // namespace

TEST_CASE("the program that the other tests start", "[.][spawned]") {
  std::array<char, 16> command{};
  const auto got = ::read(STDIN_FILENO, command.data(), command.size());
  const std::string_view word(command.data(), got < 0 ? 0 : static_cast<std::size_t>(got));
  if (word == "report") os::write_all(kReportFd, state_of_this_process());
  if (word == "wait") static_cast<void>(!::read(STDIN_FILENO, command.data(), command.size()));
  ::_exit(word == "fail" ? 7 : 0);
}

TEST_CASE("a child has the boot state, a session of its own and no descriptor but those given") {
  const ChangedState undo;
  ::setenv(kVariable, "boot", 1);
  set_blocked(SIGUSR1, SIG_BLOCK);
  ::signal(SIGUSR2, SIG_IGN);
  const os::BootState boot = os::BootState::capture();

  ::setenv(kVariable, "changed", 1);
  set_blocked(SIGUSR1, SIG_UNBLOCK);
  set_blocked(SIGHUP, SIG_BLOCK);
  ::signal(SIGUSR2, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  rlimit fewer{};
  ::getrlimit(RLIMIT_NOFILE, &fewer);
  fewer.rlim_cur -= 1;
  ::setrlimit(RLIMIT_NOFILE, &fewer);
  const os::Fd inheritable(::open("/dev/null", O_RDONLY));
  REQUIRE(inheritable);

  const Spawned spawned = spawn(boot, "report");
  CHECK(read_to_end(spawned.report.get()) ==
        fmt::format("usr1 blocked true, hup blocked false, usr2 ignored true, pipe ignored false, "
                    "files {}, variable boot, leads its session true, descriptors 0 1 2 3 ",
                    undo.files()));
  CHECK(wait_for_end(spawned.child).code == 0);
  CHECK(is_blocked(SIGHUP));
  CHECK_FALSE(is_blocked(SIGUSR1));
}

TEST_CASE("descriptors are placed by position even where they cross") {
  const os::BootState boot = os::BootState::capture();
  std::array<int, 2> out{};
  REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
  const os::Fd read_end(out[0]);
  os::Fd write_end(out[1]);
  const os::Fd command = os::make_sealed_memfd("command", "report");
  // At the start of the file, so that the child reads the command.
  REQUIRE(::lseek(command.get(), 0, SEEK_SET) == 0);
  const os::Child child =
      os::spawn_self(boot, {"unit_os", "[spawned]"},
                     {command.get(), STDERR_FILENO, STDOUT_FILENO, write_end.get()});
  write_end.reset();
  CHECK_THAT(read_to_end(read_end.get()), Catch::Contains("descriptors 0 1 2 3 "));
  CHECK(wait_for_end(child).code == 0);
}

TEST_CASE("an exit code is told from a signal") {
  const os::BootState boot = os::BootState::capture();
  const Spawned failing = spawn(boot, "fail");
  const os::ExitStatus code = wait_for_end(failing.child);
  CHECK_FALSE(code.signalled);
  CHECK(code.code == 7);
  CHECK_FALSE(code.core);

  const Spawned waiting = spawn(boot, "wait");
  CHECK_FALSE(os::try_reap(waiting.child));
  REQUIRE(os::send_signal(waiting.child, SIGKILL));
  const os::ExitStatus signal = wait_for_end(waiting.child);
  CHECK(signal.signalled);
  CHECK(signal.code == SIGKILL);
}

TEST_CASE("a stopped child has not ended") {
  const os::BootState boot = os::BootState::capture();
  const Spawned spawned = spawn(boot, "wait");
  REQUIRE(os::send_signal(spawned.child, SIGSTOP));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadline);
  while (state_letter(spawned.child.pid) != 'T') {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  CHECK_FALSE(os::try_reap(spawned.child));
  REQUIRE(os::send_signal(spawned.child, SIGKILL));
  CHECK(wait_for_end(spawned.child).signalled);
}

TEST_CASE("a signal to a child that was reaped goes nowhere and says so") {
  const os::BootState boot = os::BootState::capture();
  const Spawned spawned = spawn(boot, "fail");
  wait_for_end(spawned.child);
  CHECK_FALSE(os::send_signal(spawned.child, SIGTERM));
  CHECK_THROWS_AS(os::try_reap(spawned.child), os::SystemError);
}

TEST_CASE("a child whose descriptor cannot be placed exits with 127") {
  const os::BootState boot = os::BootState::capture();
  const os::Fd quiet = os::open_file("/dev/null", O_WRONLY);
  const os::Child child = os::spawn_self(boot, {"unit_os", "[spawned]"},
                                         {quiet.get(), quiet.get(), quiet.get(), 999'999});
  CHECK(wait_for_end(child).code == 127);
}

TEST_CASE("signals have names") {
  CHECK(os::signal_name(SIGSEGV) == "SIGSEGV");
  CHECK(os::signal_name(77) == "signal 77");
}

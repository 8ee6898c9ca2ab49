#include <fmt/format.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <memory>

#include "fake_daemon.hpp"
#include "os/fd.hpp"

using namespace appserver;

namespace {

// The output and the exit code of the program itself.
std::pair<std::string, int> appserverctl(const std::string& arguments) {
  std::FILE* const pipe =
      ::popen(fmt::format("'{}' {} 2>&1", APPSERVERCTL, arguments).c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (int byte = std::fgetc(pipe); byte != EOF; byte = std::fgetc(pipe))
    output += static_cast<char>(byte);
  const int status = ::pclose(pipe);
  REQUIRE(WIFEXITED(status));
  return {output, WEXITSTATUS(status)};
}

// The program with its output on a terminal.
class OnTerminal {
 public:
  OnTerminal(const control::FakeDaemon& daemon, const char* term,
             const std::vector<std::string>& words) {
    ::winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    int terminal = -1;
    pid_ = ::forkpty(&terminal, nullptr, nullptr, &size);
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) become(daemon.socket(), term, words);
    terminal_.reset(terminal);
  }
  ~OnTerminal() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  void signal(int number) const { REQUIRE(::kill(pid_, number) == 0); }
  void type(char key) { REQUIRE(::write(terminal_.get(), &key, 1) == 1); }

  // What came so far, once it has `ending`; all of it without one.
  std::string read_until(std::string_view ending = {}) {
    while (ending.empty() || seen_.find(ending) == std::string::npos) {
      ::pollfd ready{terminal_.get(), POLLIN, 0};
      REQUIRE(::poll(&ready, 1, 20'000) == 1);
      char part[1024];
      const auto got = ::read(terminal_.get(), part, sizeof(part));
      if (got <= 0) return seen_;
      seen_.append(part, static_cast<std::size_t>(got));
    }
    return seen_;
  }

  int exit_code() {
    int status = 0;
    REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
  }

 private:
  [[noreturn]] static void become(const std::string& socket, const char* term,
                                  const std::vector<std::string>& words) {
    ::setenv("TERM", term, 1);
    ::unsetenv("COLUMNS");
    std::vector<std::string> all{APPSERVERCTL, "--socket", socket};
    all.insert(all.end(), words.begin(), words.end());
    std::vector<char*> arguments;
    for (std::string& each : all) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    ::execv(APPSERVERCTL, arguments.data());
    ::_exit(127);
  }

  pid_t pid_ = -1;
  os::Fd terminal_;
  std::string seen_;
};

control::RolloutEvent half_done() {
  control::RolloutEvent event{.kind = control::EventKind::slot_ready, .group = "hello"};
  event.slot = 0;
  event.slots = 2;
  event.slots_done = 1;
  return event;
}

}  // namespace

TEST_CASE("on a terminal a reload has a bar, and Ctrl-C leaves it to the daemon") {
  control::FakeDaemon daemon;
  std::shared_ptr<control::EventStream> stream;
  daemon.on_loop([&] {
    daemon.commands.on_reload = [&](const auto&, auto events) {
      events->send(half_done());
      stream = std::move(events);
    };
  });
  OnTerminal program(daemon, "xterm", {"reload"});
  REQUIRE_THAT(program.read_until("1/2"), Catch::Contains("hello  [########........] 1/2"));
  program.type('\x03');
  REQUIRE_THAT(program.read_until(),
               Catch::Contains("detached; the rollout goes on: appserverctl reload watch"));
  REQUIRE(program.exit_code() == 7);
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("on a terminal that cannot move its cursor a reload has lines") {
  control::FakeDaemon daemon;
  daemon.on_loop([&] {
    daemon.commands.on_reload = [&](const auto&, const auto& events) {
      events->send(half_done());
      events->send(control::done_event(control::RolloutResult::done));
    };
  });
  OnTerminal program(daemon, "dumb", {"reload"});
  REQUIRE(program.read_until() == "+0.00s hello/0 ready\r\ndone: finished\r\n");
  REQUIRE(program.exit_code() == 0);
}

TEST_CASE("a signal that the program was started to ignore does not end what it follows") {
  control::FakeDaemon daemon;
  std::shared_ptr<control::EventStream> stream;
  daemon.on_loop([&] {
    daemon.commands.on_reload = [&](const auto&, auto events) {
      events->send(half_done());
      stream = std::move(events);
    };
  });
  ::signal(SIGHUP, SIG_IGN);
  OnTerminal program(daemon, "dumb", {"reload"});
  ::signal(SIGHUP, SIG_DFL);
  program.read_until("ready");
  program.signal(SIGHUP);
  daemon.on_loop([&] {
    stream->send(control::done_event(control::RolloutResult::partial));
    stream.reset();
  });
  REQUIRE_THAT(program.read_until(), Catch::Contains("PARTLY DONE: finished"));
  REQUIRE(program.exit_code() == 5);
}

TEST_CASE("the program passes its arguments in and its exit code out") {
  control::FakeDaemon daemon;
  daemon.on_loop([&] {
    daemon.commands.on_reload = [](const auto&, const auto& events) {
      events->send(
          control::done_event(control::RolloutResult::rolled_back, "the new build did not start"));
    };
  });
  const auto [output, code] =
      appserverctl(fmt::format("--socket {} reload", daemon.socket().native()));
  REQUIRE(output == "ROLLED BACK, the old build serves: the new build did not start\n");
  REQUIRE(code == 4);
  REQUIRE(appserverctl("frobnicate").second == 2);
  REQUIRE(appserverctl("status --socket /nowhere/x.sock").second == 8);
  REQUIRE(appserverctl("help").second == 0);
}

TEST_CASE("the program sees APPSERVER_SOCKET") {
  control::FakeDaemon daemon;
  REQUIRE(::setenv("APPSERVER_SOCKET", daemon.socket().c_str(), 1) == 0);
  const auto [output, code] = appserverctl("version");
  ::unsetenv("APPSERVER_SOCKET");
  REQUIRE(code == 0);
  REQUIRE_THAT(output, Catch::Contains("appserverd 1.2.3"));
}

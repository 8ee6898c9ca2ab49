#include "telemetry/log.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "os/error.hpp"
#include "os/fd.hpp"

using namespace appserver;
using namespace appserver::telemetry;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  os::Fd reader;
  os::Fd writer;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  os::check(::pipe2(ends.data(), O_CLOEXEC), "pipe2()");
  return {os::Fd(ends[0]), os::Fd(ends[1])};
}

Pipe make_socketpair() {
  std::array<int, 2> ends{};
  os::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), "socketpair()");
  return {os::Fd(ends[0]), os::Fd(ends[1])};
}

// Until the writing side is closed everywhere.
std::string read_to_end(int fd) {
  std::string all;
  std::array<char, 65536> buffer{};
  for (;;) {
    const auto got =
        os::retry_on_interrupt([&] { return ::read(fd, buffer.data(), buffer.size()); });
    if (got <= 0) return all;
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size()))
    ++found;
  return found;
}

}  // namespace

TEST_CASE("what is logged arrives in order, and nothing under the level") {
  Pipe pipe = make_pipe();
  {
    Log log(Level::info, Format::text, pipe.writer.get());
    log.debug("not this");
    log.info("first {}", 1);
    log.write(Level::warning, {.group = "api", .slot = 2, .pid = 77}, "second");
    log.error("third");
    REQUIRE(log.flush(Clock::now() + 10s));
    REQUIRE(log.dropped() == 0);
    REQUIRE_FALSE(log.enabled(Level::debug));
  }
  pipe.writer.reset();
  const std::string text = read_to_end(pipe.reader.get());
  CHECK(count(text, "\n") == 3);
  CHECK(text.find("info    appserverd first 1\n") < text.find("warning api/2[77] second\n"));
  CHECK(text.find("warning api/2[77] second\n") < text.find("error   appserverd third\n"));
  CHECK(text.ends_with("error   appserverd third\n"));
}

TEST_CASE("the end of the log writes what is still queued") {
  Pipe pipe = make_socketpair();
  {
    Log log(Level::debug, Format::json, pipe.writer.get());
    for (int i = 0; i < 100; ++i) log.debug("line {}", i);
  }
  pipe.writer.reset();
  CHECK(count(read_to_end(pipe.reader.get()), "\"level\":\"debug\"") == 100);
}

TEST_CASE("nobody reads: the caller never waits, what is lost is counted and then reported") {
  const bool socket = GENERATE(false, true);
  Pipe pipe = socket ? make_socketpair() : make_pipe();
  std::optional<Log> log(std::in_place, Level::info, Format::text, pipe.writer.get());
  pipe.writer.reset();
  const std::string message(1000, 'm');
  constexpr std::uint64_t kLines = 20'000;
  for (std::uint64_t i = 0; i < kLines; ++i) log->info("{}", message);
  CHECK_FALSE(log->flush(Clock::now()));
  const std::uint64_t dropped = log->dropped();
  CHECK(dropped > kLines / 4);

  std::string text;
  std::thread reader([&] { text = read_to_end(pipe.reader.get()); });
  CHECK(log->flush(Clock::now() + 30s));
  log->info("after");
  CHECK(log->flush(Clock::now() + 30s));
  CHECK(log->dropped() == dropped);
  log.reset();
  reader.join();
  CHECK(count(text, message) == kLines - dropped);
  CHECK(count(text, fmt::format("appserverd {} log lines lost", dropped)) == 1);
  CHECK(text.ends_with("after\n"));
}

TEST_CASE("a log that nobody reads does not keep the process from ending") {
  Pipe pipe = make_pipe();
  const auto begin = Clock::now();
  {
    Log log(Level::info, Format::text, pipe.writer.get());
    for (int i = 0; i < 20'000; ++i) log.info("{:100}", i);
  }
  CHECK(Clock::now() - begin < 20s);
}

TEST_CASE("a reader that went away costs the lines, not the process") {
  Pipe pipe = GENERATE(false, true) ? make_socketpair() : make_pipe();
  Log log(Level::info, Format::text, pipe.writer.get());
  pipe.reader.reset();
  for (int i = 0; i < 10; ++i) log.info("line {}", i);
  REQUIRE(log.flush(Clock::now() + 10s));
  CHECK(log.dropped() == 10);
}

TEST_CASE("the descriptor that was given stays as it was") {
  Pipe pipe = GENERATE(false, true) ? make_socketpair() : make_pipe();
  const int before = ::fcntl(pipe.writer.get(), F_GETFL);
  Log log(Level::info, Format::text, pipe.writer.get());
  log.info("x");
  REQUIRE(log.flush(Clock::now() + 10s));
  CHECK(::fcntl(pipe.writer.get(), F_GETFL) == before);
}

TEST_CASE("many threads may log at once") {
  Pipe pipe = make_pipe();
  std::string text;
  std::thread reader([&, fd = pipe.reader.get()] { text = read_to_end(fd); });
  {
    Log log(Level::info, Format::text, pipe.writer.get());
    pipe.writer.reset();
    std::vector<std::thread> writers;
    for (int t = 0; t < 4; ++t) {
      writers.emplace_back([&log, t] {
        for (int i = 0; i < 500; ++i) log.info("t{}:{}.", t, i);
      });
    }
    for (std::thread& writer : writers) writer.join();
    CHECK(log.flush(Clock::now() + 30s));
    CHECK(log.dropped() == 0);
  }
  reader.join();
  CHECK(count(text, "\n") == 2000);
  for (int t = 0; t < 4; ++t) CHECK(count(text, fmt::format("t{}:499.\n", t)) == 1);
}

TEST_CASE("the background thread takes no signals") {
  Pipe pipe = make_pipe();
  sigset_t usr1;
  sigset_t before;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  Log log(Level::info, Format::text, pipe.writer.get());
  ::pthread_sigmask(SIG_BLOCK, &usr1, &before);
  ::kill(::getpid(), SIGUSR1);
  const timespec long_enough{.tv_sec = 10, .tv_nsec = 0};
  CHECK(::sigtimedwait(&usr1, nullptr, &long_enough) == SIGUSR1);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

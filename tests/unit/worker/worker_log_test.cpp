#include "worker/worker_log.hpp"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "os/message_socket.hpp"

using namespace appserver;
using config::LogLevel;

namespace {

struct Logging {
  explicit Logging(LogLevel level = LogLevel::debug)
      : Logging(os::make_socket_pair(SOCK_SEQPACKET), level) {}

  // Empty where nothing is there.
  std::string next() {
    os::Packet packet;
    return os::receive_packet(supervisor.get(), 64 * 1024, packet) == os::ReceiveResult::received
               ? packet.data
               : "";
  }

  telemetry::WorkerPage page;
  os::Fd supervisor;
  worker::WorkerLog log;

 private:
  Logging(std::pair<os::Fd, os::Fd> pair, LogLevel level)
      : supervisor(std::move(pair.first)), log(std::move(pair.second), level, page) {}
};

}  // namespace

TEST_CASE("a line is one message of its level and text") {
  Logging logging;
  logging.log.write(LogLevel::warning, "two\nlines");
  logging.log.write(LogLevel::error, "");
  CHECK(logging.next() == "2two\nlines");
  CHECK(logging.next() == "3");
  CHECK(logging.next().empty());
  CHECK(logging.page.log_dropped.get() == 0);
}

TEST_CASE("lines below the level are not sent, and not counted as dropped") {
  Logging logging(LogLevel::warning);
  logging.log.write(LogLevel::info, "quiet");
  CHECK(logging.next().empty());
  CHECK(logging.page.log_dropped.get() == 0);
}

TEST_CASE("a long line is cut at the bound") {
  Logging logging;
  logging.log.write(LogLevel::info, std::string(100'000, 'x'));
  CHECK(logging.next().size() == 1 + worker::WorkerLog::kMaxText);
}

TEST_CASE("a supervisor that does not read never blocks a worker: each line lost is counted") {
  constexpr std::uint64_t kLines = 5'000;
  Logging logging;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t line = 0; line < kLines; ++line)
        logging.log.write(LogLevel::info, std::string(1'000, 'x'));
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t arrived = 0;
  while (!logging.next().empty()) ++arrived;
  CHECK(arrived > 0);
  CHECK(logging.page.log_dropped.get() > 0);
  CHECK(arrived + logging.page.log_dropped.get() == 4 * kLines);
  logging.log.write(LogLevel::info, "room again");
  CHECK(logging.next() == "1room again");
}

TEST_CASE("a supervisor that is gone is no error, only counted") {
  Logging logging;
  logging.supervisor.reset();
  logging.log.write(LogLevel::error, "anybody?");
  CHECK(logging.page.log_dropped.get() == 1);
}

// Groups that shrink and grow while clients connect.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "os/error.hpp"
#include "os/fd.hpp"
#include "supervisor/listeners.hpp"

using namespace appserver;
using std::chrono::milliseconds;
using supervisor::Listeners;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kQuiet{200};
constexpr std::chrono::seconds kDeadline{20};

config::Group group_on(std::initializer_list<const char*> hosts) {
  config::Group group;
  group.name = "shop";
  for (const char* host : hosts) {
    config::Listen listen;
    listen.host = host;
    listen.text = fmt::format("http://{}:0", host);
    group.listen.push_back(listen);
  }
  return group;
}

std::uint16_t port_of(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  os::check(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length), "getsockname()");
  return ntohs(address.sin_port);
}

// Accepts from a socket that it shares with the group, as a worker does, and answers one byte.
class Worker {
 public:
  explicit Worker(int listener)
      : listener_(os::check(::fcntl(listener, F_DUPFD_CLOEXEC, 3), "fcntl()")),
        thread_([this] { run(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    stop_ = true;
    thread_.join();
  }

  int served() const { return served_; }

  // False where connections do not cease before the deadline.
  bool wait_until_quiet() const {
    const auto end = Clock::now() + kDeadline;
    while (Clock::now() < end) {
      if (Clock::now() - Clock::time_point(Clock::duration(last_.load())) > kQuiet) return true;
      std::this_thread::yield();
    }
    return false;
  }

 private:
  void run() {
    while (!stop_) {
      pollfd waiting{listener_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, 10) <= 0) continue;
      const os::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) continue;
      last_ = Clock::now().time_since_epoch().count();
      char byte = 0;
      if (::read(client.get(), &byte, 1) == 1 && ::write(client.get(), &byte, 1) == 1) ++served_;
    }
  }

  os::Fd listener_;
  std::atomic<bool> stop_{false};
  std::atomic<int> served_{0};
  std::atomic<Clock::rep> last_{Clock::now().time_since_epoch().count()};
  std::thread thread_;
};

// Clients that connect, ask and are answered, one connection after the other.
class Storm {
 public:
  explicit Storm(std::uint16_t port) {
    for (std::thread& thread : threads_) thread = std::thread([this, port] { run(port); });
  }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;
  ~Storm() { stop(); }

  void stop() {
    stop_ = true;
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }

  int answered() const { return answered_; }
  int failed() const { return failed_; }

  bool wait_for_more(int count) const {
    const int wanted = answered_ + count;
    const auto end = Clock::now() + kDeadline;
    while (answered_ < wanted && Clock::now() < end) std::this_thread::yield();
    return answered_ >= wanted;
  }

 private:
  static bool ask(std::uint16_t port) {
    const os::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const timeval patience{10, 0};
    const linger reset{1, 0};  // leaves no port in TIME_WAIT
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    char byte = 'x';
    return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
               0 &&
           ::send(client.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
           ::recv(client.get(), &byte, 1, 0) == 1;
  }

  void run(std::uint16_t port) {
    while (!stop_) ++(ask(port) ? answered_ : failed_);
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> answered_{0};
  std::atomic<int> failed_{0};
  std::array<std::thread, 6> threads_;
};

using Workers = std::vector<std::unique_ptr<Worker>>;

void start_workers(Workers& workers, const Listeners& listeners) {
  for (auto slot = static_cast<std::uint32_t>(workers.size()); slot < listeners.slots(); ++slot)
    workers.push_back(std::make_unique<Worker>(listeners.to_lend(slot).front()));
}

// How many of `count` connections wait in each slot's queue.
std::vector<int> where_connections_go(const Listeners& listeners, int count) {
  const std::uint16_t port = port_of(listeners.to_lend(0).front());
  for (int i = 0; i < count; ++i) {
    const os::Fd client(os::check(::socket(AF_INET, SOCK_STREAM, 0), "socket()"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    os::check(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              "connect()");
  }
  std::vector<int> result;
  for (std::uint32_t slot = 0; slot < listeners.slots(); ++slot) {
    int got = 0;
    while (os::Fd(::accept(listeners.to_lend(slot).front(), nullptr, nullptr))) ++got;
    result.push_back(got);
  }
  return result;
}

int total(const std::vector<int>& counts) {
  int sum = 0;
  for (const int count : counts) sum += count;
  return sum;
}

}  // namespace

TEST_CASE("a group shrinks and grows under load, and no client is reset or refused") {
  const auto group = group_on({"127.0.0.1"});
  Listeners listeners(group, 3);
  Workers workers;
  start_workers(workers, listeners);
  Storm storm(port_of(listeners.to_lend(0).front()));
  for (int round = 0; round < 3; ++round) {
    REQUIRE(storm.wait_for_more(500));
    listeners.retire(1);
    REQUIRE(workers[1]->wait_until_quiet());
    REQUIRE(workers[2]->wait_until_quiet());
    workers.resize(1);
    listeners.close_retired(1);
    CHECK(listeners.slots() == 1);
    REQUIRE(storm.wait_for_more(500));

    listeners.extend(group, 3);
    start_workers(workers, listeners);
    REQUIRE(storm.wait_for_more(500));
    for (const auto& worker : workers) CHECK(worker->served() > 0);
  }
  storm.stop();
  CHECK(storm.answered() >= 4500);
  CHECK(storm.failed() == 0);
}

TEST_CASE("retired slots get no more connections, the others all of them") {
  Listeners listeners(group_on({"127.0.0.1"}), 4);
  listeners.retire(2);
  const auto counts = where_connections_go(listeners, 200);
  REQUIRE(counts.size() == 4);
  CHECK(counts[0] > 0);
  CHECK(counts[1] > 0);
  CHECK(counts[2] == 0);
  CHECK(counts[3] == 0);
  CHECK(total(counts) == 200);
}

TEST_CASE("after a retirement is taken back every slot gets connections, by the same sockets") {
  const auto group = group_on({"127.0.0.1"});
  Listeners listeners(group, 4);
  const auto last = listeners.to_lend(3);
  listeners.retire(2);
  SECTION("in one step") { listeners.extend(group, 4); }
  SECTION("in two") {
    listeners.extend(group, 3);
    const auto counts = where_connections_go(listeners, 200);
    CHECK(counts[2] > 0);
    CHECK(counts[3] == 0);
    listeners.retire(4);
  }
  CHECK(listeners.to_lend(3) == last);
  for (const int count : where_connections_go(listeners, 400)) CHECK(count > 0);
}

TEST_CASE("a group that shrank and grew often still knows which slots come last") {
  const auto group = group_on({"127.0.0.1"});
  Listeners listeners(group, 4);
  for (const std::uint32_t slots : {2U, 1U, 3U, 2U}) {
    listeners.retire(slots);
    listeners.close_retired(slots);
    for (const int count : where_connections_go(listeners, 200)) CHECK(count > 0);
    listeners.extend(group, 5);
    listeners.retire(slots);
    const auto counts = where_connections_go(listeners, 200);
    for (std::uint32_t slot = 0; slot < 5; ++slot) {
      CAPTURE(slots, slot);
      CHECK((counts[slot] > 0) == (slot < slots));
    }
    listeners.extend(group, 5);
  }
}

TEST_CASE("every address of a group is retired, and new ones need no retirement") {
  const auto group = group_on({"127.0.0.1", "127.0.0.1"});
  Listeners listeners(group, 3);
  listeners.retire(1);
  auto more = group;
  more.listen.push_back(group.listen.front());
  listeners.extend(more, 1);
  CHECK(listeners.of_slot(0, more.listen).size() == 3);
  CHECK(listeners.of_slot(2, more.listen).size() == 2);
  listeners.close_retired(1);
  CHECK(listeners.of_slot(0, more.listen).size() == 3);
  CHECK(listeners.of_slot(1, more.listen).empty());
  CHECK(where_connections_go(listeners, 20) == std::vector<int>{20});
  CHECK_THROWS_AS(listeners.retire(0), std::invalid_argument);
}

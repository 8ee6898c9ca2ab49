#include "net/acceptor.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop.hpp"
#include "os/error.hpp"

using namespace appserver;

namespace {

class Port {
 public:
  Port()
      : listener_(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                            "socket()")) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    os::check(::bind(listener_.get(), address(), sizeof(address_)), "bind()");
    os::check(::listen(listener_.get(), 1'024), "listen()");
    socklen_t length = sizeof(address_);
    os::check(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address_), &length),
              "getsockname()");
  }

  os::Fd listener() const { return listener_.duplicate(); }

  // The kernel completes it into the listener's queue.
  os::Fd connect() const {
    os::Fd client(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
    os::check(::connect(client.get(), address(), sizeof(address_)), "connect()");
    return client;
  }

  std::vector<os::Fd> connect_many(int count) const {
    std::vector<os::Fd> clients;
    for (int i = 0; i < count; ++i) clients.push_back(connect());
    return clients;
  }

  // What is left are the descriptors that listener() gave.
  void close() { listener_.reset(); }
  bool is_refused() const {
    const os::Fd client(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
    return ::connect(client.get(), address(), sizeof(address_)) < 0 && errno == ECONNREFUSED;
  }

 private:
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  os::Fd listener_;
  sockaddr_in address_{};
};

// No new descriptor above those that are open, while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(std::string(os::SystemError(EMFILE, "accept()").what()) ==
            "accept(): Too many open files");
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

struct Accepting {
  explicit Accepting(os::Fd listener)
      : acceptor(std::make_unique<net::Acceptor>(
            context, std::move(listener),
            net::Acceptor::Hooks{
                [this] { return accepted.size() < room; },
                [this](os::Fd connection) { accepted.push_back(std::move(connection)); },
                [this](const std::string& what) {
                  no_descriptors.reset();
                  complaints.push_back(what);
                }})) {}

  bool have(std::size_t count) {
    return test::run_until(context, [&] { return accepted.size() == count; });
  }

  // Takes one client, then finds no descriptor for the next, until it has complained. The first one
  // because the sanitizers look at each first virtual call through a pipe, which they could not
  // open later.
  void run_out_of_descriptors(const Port& port) {
    clients.push_back(port.connect());
    REQUIRE(test::run_until(context, [&] { return !accepted.empty(); }));
    test::settle(context);
    clients.push_back(port.connect());
    no_descriptors.emplace();
    REQUIRE(test::run_until(context, [&] { return !complaints.empty(); }));
  }

  boost::asio::io_context context{1};
  std::vector<os::Fd> clients;
  std::optional<NoDescriptors> no_descriptors;
  std::size_t room = 1'000'000;
  std::vector<os::Fd> accepted;
  std::vector<std::string> complaints;
  std::unique_ptr<net::Acceptor> acceptor;
};

}  // namespace

TEST_CASE("more clients than one batch takes are all accepted, non-blocking and close-on-exec") {
  const Port port;
  const auto clients = port.connect_many(200);
  Accepting server(port.listener());
  server.acceptor->start();
  REQUIRE(server.have(200));
  for (const os::Fd& connection : server.accepted) {
    CHECK((::fcntl(connection.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(connection.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  const auto late = port.connect();
  CHECK(server.have(201));
}

TEST_CASE("nothing is accepted before start, nor by resume before start") {
  const Port port;
  const auto client = port.connect();
  Accepting server(port.listener());
  server.acceptor->resume();
  test::settle(server.context);
  CHECK(server.accepted.empty());
  server.acceptor->start();
  CHECK(server.have(1));
}

TEST_CASE("without room clients stay queued, and resume takes them") {
  const Port port;
  const auto clients = port.connect_many(10);
  Accepting server(port.listener());
  server.room = 4;
  server.acceptor->start();
  REQUIRE(server.have(4));
  test::settle(server.context);
  CHECK(server.accepted.size() == 4);
  server.room = 7;
  server.acceptor->resume();
  server.acceptor->resume();
  REQUIRE(server.have(7));
  test::settle(server.context);
  CHECK(server.accepted.size() == 7);
  server.room = 100;
  server.acceptor->resume();
  CHECK(server.have(10));
}

TEST_CASE("out of descriptors it says so, waits without spinning, and recovers by itself") {
  const Port port;
  Accepting server(port.listener());
  server.acceptor->start();
  server.run_out_of_descriptors(port);
  CHECK(server.complaints.front() == "accept(): Too many open files; connections wait");
  CHECK(server.accepted.size() == 1);
  CHECK(server.have(2));
  CHECK(server.complaints.size() == 1);
}

TEST_CASE("stop takes who is queued where it is asked to, and nobody otherwise") {
  const Port port;
  const auto clients = port.connect_many(150);
  Accepting server(port.listener());
  server.acceptor->start();
  const bool empty_queue = GENERATE(true, false);
  server.acceptor->stop(empty_queue);
  CHECK(server.accepted.size() == (empty_queue ? 150 : 0));
  test::settle(server.context);
  const auto late = port.connect();
  server.acceptor->resume();
  server.acceptor->stop(true);
  test::settle(server.context);
  CHECK(server.accepted.size() == (empty_queue ? 150 : 0));
}

TEST_CASE("who is queued where nobody accepts any more is taken even without room") {
  const Port port;
  const auto clients = port.connect_many(150);
  Accepting server(port.listener());
  server.room = GENERATE(0U, 4U);
  server.acceptor->start();
  REQUIRE(server.have(server.room));
  test::settle(server.context);
  REQUIRE(server.accepted.size() == server.room);
  server.acceptor->stop(true);
  CHECK(server.accepted.size() == 150);
  test::settle(server.context);
  CHECK(server.accepted.size() == 150);
}

TEST_CASE("a queue is emptied by one that never started, and by one that backs off") {
  const Port port;
  Accepting server(port.listener());
  if (GENERATE(true, false)) {
    server.acceptor->start();
    server.run_out_of_descriptors(port);
    REQUIRE(server.accepted.size() == 1);
  } else {
    server.clients = port.connect_many(2);
  }
  server.acceptor->stop(true);
  CHECK(server.accepted.size() == 2);
}

TEST_CASE("whoever is lost with a queue for want of descriptors is spoken of") {
  const Port port;
  Accepting server(port.listener());
  // Its first virtual call is not the one without descriptors; see run_out_of_descriptors.
  server.clients.push_back(port.connect());
  server.acceptor->start();
  REQUIRE(server.have(1));
  server.clients.push_back(port.connect());
  server.no_descriptors.emplace();
  server.acceptor->stop(true);
  REQUIRE(server.complaints.size() == 1);
  CHECK(server.complaints.front() == "accept(): Too many open files; connections are lost");
  CHECK(server.accepted.size() == 1);
}

TEST_CASE("once stopped, the port is closed to new clients") {
  Port port;
  Accepting server(port.listener());
  server.acceptor->start();
  server.acceptor->stop(GENERATE(true, false));
  port.close();
  CHECK(port.is_refused());
}

TEST_CASE("stop from within accepted takes no further client") {
  const Port port;
  const auto clients = port.connect_many(5);
  boost::asio::io_context context{1};
  int accepted = 0;
  std::unique_ptr<net::Acceptor> acceptor;
  acceptor = std::make_unique<net::Acceptor>(context, port.listener(),
                                             net::Acceptor::Hooks{[] { return true; },
                                                                  [&](const os::Fd&) {
                                                                    ++accepted;
                                                                    acceptor->stop(false);
                                                                  },
                                                                  [](const std::string&) {}});
  acceptor->start();
  REQUIRE(test::run_until(context, [&] { return accepted > 0; }));
  test::settle(context);
  CHECK(accepted == 1);
}

TEST_CASE("an acceptor may end while it waits, while it backs off, and right after stop") {
  const Port port;
  Accepting server(port.listener());
  server.acceptor->start();
  const int when = GENERATE(0, 1, 2);
  const auto client = port.connect();
  if (when == 1) server.run_out_of_descriptors(port);
  if (when == 2) server.acceptor->stop(false);
  server.acceptor.reset();
  const std::size_t before = server.accepted.size();
  test::settle(server.context);
  CHECK(server.accepted.size() == before);
}

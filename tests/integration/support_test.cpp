// The instruments of these tests: a client that would not see a failure, or a census that would not
// see a leak, would make every other test here worthless.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>

#include "os/error.hpp"
#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/process.hpp"

using namespace appserver;
using namespace appserver::integration;

namespace {

// A server on 127.0.0.1 that treats each of `connections` as it is told to, one after another.
class ScriptedServer {
 public:
  using Script = std::function<void(int connection)>;

  ScriptedServer(int connections, Script script)
      : listener_(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = static_cast<sockaddr*>(static_cast<void*>(&address));
    os::check(::bind(listener_.get(), generic, size), "bind");
    os::check(::listen(listener_.get(), 16), "listen");
    os::check(::getsockname(listener_.get(), generic, &size), "getsockname");
    endpoint_.host = "127.0.0.1";
    endpoint_.port = ntohs(address.sin_port);
    thread_ = std::thread([this, connections, script] {
      for (int i = 0; i < connections; ++i) {
        const os::Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        script(connection.get());
      }
      listener_.reset();  // who still waits in its queue is to hear of it now
    });
  }
  ~ScriptedServer() { thread_.join(); }

  const Endpoint& endpoint() const { return endpoint_; }

 private:
  os::Fd listener_;
  Endpoint endpoint_;
  std::thread thread_;
};

void read_request(int connection) {
  std::string request;
  char piece[4096];
  while (request.find("\r\n\r\n") == std::string::npos) {
    const ssize_t count = ::read(connection, piece, sizeof(piece));
    if (count <= 0) return;
    request.append(piece, static_cast<std::size_t>(count));
  }
}

Response answered_with(const std::string& bytes, milliseconds patience = 5s) {
  ScriptedServer server(1, [&](int connection) {
    read_request(connection);
    os::write_all(connection, bytes);
  });
  Connection client(server.endpoint(), patience);
  return client.get("/");
}

constexpr const char* kGood = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nv1\n";

}  // namespace

TEST_CASE("the client takes a whole answer for what it is") {
  const auto sized = answered_with(kGood);
  REQUIRE(sized.ok());
  REQUIRE(sized.body == "v1\n");
  const auto chunked = answered_with(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nv1\r\n1\r\n\n\r\n0\r\n\r\n");
  REQUIRE(chunked.body == "v1\n");
}

TEST_CASE("the client tells each way to fail from the others") {
  CHECK(answered_with("").outcome == Outcome::eof);
  CHECK(answered_with("HTTP/1.1 200 OK\r\nContent-Le").outcome == Outcome::cut_short);
  CHECK(answered_with("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nv1\n").outcome ==
        Outcome::cut_short);
  CHECK(
      answered_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nv1\n\r\n").outcome ==
      Outcome::cut_short);
  CHECK(answered_with("nonsense\r\n\r\n").outcome == Outcome::malformed);
  CHECK(answered_with("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nv1\n")
            .outcome == Outcome::malformed);

  ScriptedServer resetting(1, [](int connection) {
    read_request(connection);
    const linger at_once{1, 0};
    ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  });
  CHECK(get(resetting.endpoint(), "/").outcome == Outcome::reset);

  ScriptedServer silent(1, [](int connection) {
    read_request(connection);
    read_request(connection);  // until the client gives up
  });
  CHECK(get(silent.endpoint(), "/", 200ms).outcome == Outcome::timeout);
}

TEST_CASE("the client says that nobody listens") {
  Endpoint nobody;
  {
    ScriptedServer server(1, [](int) {});
    nobody = server.endpoint();
    REQUIRE(get(nobody, "/").outcome != Outcome::ok);
  }
  REQUIRE(get(nobody, "/").outcome == Outcome::refused);
  Endpoint no_socket;
  no_socket.unix_path = "/nonexistent/socket";
  REQUIRE(get(no_socket, "/").outcome == Outcome::refused);
}

TEST_CASE("a load counts each cut connection as a failure, with who and when") {
  constexpr int kConnections = 40;
  ScriptedServer server(kConnections, [n = 0](int connection) mutable {
    read_request(connection);
    if (++n % 10 != 0) os::write_all(connection, std::string_view(kGood));
  });
  Mix mix{0, 1, 0, 0, 0, 0ms, 0ms};
  Load load(server.endpoint(), mix);
  load.wait_for(kConnections * 9 / 10);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.requests == kConnections * 9 / 10);
  REQUIRE(totals.answers.at("v1") == totals.requests);
  REQUIRE(totals.failures.size() >= 3);
  REQUIRE(totals.failures.at(0).outcome == Outcome::eof);
  REQUIRE(totals.failures.at(0).client == "closing 0");
}

TEST_CASE("a load counts each new connection of a client that wants to keep its own") {
  constexpr int kConnections = 5;
  ScriptedServer server(kConnections, [](int connection) {
    read_request(connection);
    os::write_all(
        connection,
        std::string_view("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nv1\n"));
  });
  Load load(server.endpoint(), Mix{1, 0, 0, 0, 0, 0ms, 0ms});
  load.wait_for(kConnections);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.requests == kConnections);
  REQUIRE(totals.reconnects >= kConnections - 1);
}

TEST_CASE("a child's output and end are kept") {
  const auto finished = run({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"});
  REQUIRE(finished.exit == Exit{3, 0});
  REQUIRE(finished.out == "out\n");
  REQUIRE(finished.err == "err\n");
  Process sleeper({"/bin/sleep", "100"});
  REQUIRE(sleeper.running());
  sleeper.signal(SIGTERM);
  REQUIRE(sleeper.wait(10s) == Exit{-1, SIGTERM});
}

TEST_CASE("a grandchild that outlives its parent is found") {
  adopt_orphans();
  Process parent({"/bin/sh", "-c", "sleep 100 & echo $!"});
  REQUIRE(parent.wait(10s) == Exit{0, 0});
  const pid_t orphan = std::stoi(parent.out());
  const auto family = descendants_of(::getpid());
  const bool found = std::any_of(family.begin(), family.end(),
                                 [&](const auto& process) { return process.pid == orphan; });
  ::kill(orphan, SIGKILL);
  eventually("the orphan is reaped", 10s, [&] {
    reap_orphans();
    return children_of(::getpid()).empty();
  });
  REQUIRE(found);
}

TEST_CASE("a listening socket is found by its port until it is closed") {
  std::uint16_t port = 0;
  {
    ScriptedServer server(1, [](int) {});
    port = server.endpoint().port;
    REQUIRE(listening_inodes(port).size() == 1);
    REQUIRE(get(server.endpoint(), "/").outcome != Outcome::ok);
  }
  REQUIRE(listening_inodes(port).empty());
}

TEST_CASE("errors in a log are found by their level, not by their words") {
  const std::string log =
      "2026-11-22 14:00:00.123 info    api/0[12] no error in this line\n"
      "2026-11-22 14:00:00.123 error   api/0[12] this is one\n"
      "==12==ERROR: AddressSanitizer: heap-use-after-free\n";
  REQUIRE(error_lines(log).size() == 1);
  REQUIRE(sanitizer_lines(log).size() == 1);
}

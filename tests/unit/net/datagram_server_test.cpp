#include "net/datagram_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "loop.hpp"
#include "net/datagram_peer.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

struct Script final : net::DatagramHandler {
  bool on_datagram(const appserver_datagram& datagram) override {
    got.emplace_back(datagram.data.data, datagram.data.size);
    truncated.push_back(datagram.truncated != 0);
    peer = datagram.peer;
    remote.assign(datagram.remote.data, datagram.remote.size);
    return good;
  }
  std::vector<std::string> got;
  std::vector<bool> truncated;
  appserver_udp_peer peer{};
  std::string remote;
  bool good = true;
};

struct Ends {
  Ends() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(served.get(), name, length) == 0);
    REQUIRE(::getsockname(served.get(), name, &length) == 0);
    REQUIRE(::connect(client.get(), name, length) == 0);
  }
  void send(const std::string& data) const {
    REQUIRE(::send(client.get(), data.data(), data.size(), 0) == static_cast<ssize_t>(data.size()));
  }
  std::string received() const {
    std::string data(1'000, '\0');
    const ssize_t size = ::recv(client.get(), data.data(), data.size(), MSG_DONTWAIT);
    return size < 0 ? "(nothing)" : data.substr(0, static_cast<std::size_t>(size));
  }

  os::Fd served{::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  os::Fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

struct Serving {
  Serving() { server.add(0, ends.served.duplicate(), "udp://127.0.0.1:0"); }

  bool gets(std::size_t count) {
    return run_until(context, [&] { return script.got.size() >= count; });
  }

  boost::asio::io_context context{1};
  telemetry::WorkerPage page;
  Script script;
  Ends ends;
  std::vector<std::string> complaints;
  net::DatagramServer server{context, 100, script, page,
                             [this](const std::string& text) { complaints.push_back(text); }};
};

}  // namespace

TEST_CASE("datagrams come one by one, whole, the empty one included, and are counted") {
  Serving serving;
  serving.server.start(0);
  serving.ends.send("one");
  serving.ends.send("");
  serving.ends.send(std::string(100, 'x'));
  REQUIRE(serving.gets(3));
  CHECK(serving.script.got == std::vector<std::string>{"one", "", std::string(100, 'x')});
  CHECK(serving.script.truncated == std::vector<bool>{false, false, false});
  CHECK(serving.page.requests.get() == 3);
  CHECK(serving.page.datagrams_received.get() == 3);
  CHECK(serving.page.failed.get() == 0);
}

TEST_CASE("a datagram over the bound is cut and marked") {
  Serving serving;
  serving.server.start(0);
  serving.ends.send(std::string(101, 'x'));
  REQUIRE(serving.gets(1));
  CHECK(serving.script.got.front().size() == 100);
  CHECK(serving.script.truncated.front());
}

TEST_CASE("a plugin that fails is counted, and the next datagram comes") {
  Serving serving;
  serving.server.start(0);
  serving.script.good = false;
  serving.ends.send("one");
  serving.ends.send("two");
  REQUIRE(serving.gets(2));
  CHECK(serving.page.failed.get() == 2);
}

TEST_CASE("what is not read stays in the socket for whoever reads next") {
  Serving serving;
  serving.server.start(0);
  serving.server.stop(0, false);
  serving.ends.send("one");
  settle(serving.context);
  CHECK(serving.script.got.empty());
  serving.server.add(0, serving.ends.served.duplicate(), "udp://127.0.0.1:0");
  serving.server.start(0);
  CHECK(serving.gets(1));
}

TEST_CASE("a queue that nobody reads afterwards is emptied first") {
  Serving serving;
  for (int i = 0; i < 50; ++i) serving.ends.send(std::to_string(i));
  serving.server.stop_all(true);
  CHECK(serving.script.got.size() == 50);
}

TEST_CASE("a peer is answered also after its socket is read no more") {
  Serving serving;
  serving.server.start(0);
  serving.ends.send("one");
  REQUIRE(serving.gets(1));
  serving.server.stop_all(false);
  CHECK(serving.server.send(serving.script.peer, "late") == APPSERVER_OK);
  CHECK(serving.ends.received() == "late");
}

TEST_CASE("a peer that is none, and a datagram that cannot be, are refused") {
  Serving serving;
  serving.server.start(0);
  serving.ends.send("one");
  REQUIRE(serving.gets(1));
  CHECK(serving.server.send(appserver_udp_peer{}, "x") == APPSERVER_INVALID);
  auto elsewhere = *net::DatagramPeer::read(serving.script.peer);
  elsewhere.listener = 7;
  CHECK(serving.server.send(elsewhere.opaque(), "x") == APPSERVER_INVALID);
  CHECK(serving.server.send(serving.script.peer, std::string(65'508, 'x')) == APPSERVER_INVALID);
  CHECK(serving.ends.received() == "(nothing)");
}

TEST_CASE("what the kernel had to drop is counted and told") {
  Serving serving;
  for (int i = 0; i < 20'000; ++i) serving.ends.send(std::string(90, 'x'));
  serving.server.tick();
  CHECK(serving.page.datagrams_lost.get() > 0);
  REQUIRE(serving.complaints.size() == 1);
  CHECK(serving.complaints.front().find("datagrams were lost") != std::string::npos);
  serving.server.tick();
  CHECK(serving.complaints.size() == 1);
}

TEST_CASE("replies that are held are counted until the last is released") {
  Serving serving;
  int empty = 0;
  serving.server.on_fewer_held([&] { ++empty; });
  CHECK(serving.server.release() == APPSERVER_INVALID);
  CHECK(serving.server.hold() == APPSERVER_OK);
  CHECK(serving.server.hold() == APPSERVER_OK);
  CHECK(serving.server.release() == APPSERVER_OK);
  CHECK(serving.server.held() == 1);
  CHECK(empty == 0);
  CHECK(serving.server.release() == APPSERVER_OK);
  CHECK(empty == 1);
}

namespace {

// Each hears at `address`, and sends to `to` in its own name.
struct Forging {
  Forging(int family, const sockaddr_storage& address, socklen_t length, const char* text)
      : socket(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    sockaddr_storage name{};
    socklen_t size = sizeof(name);
    REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
    port = reinterpret_cast<const sockaddr_in&>(name).sin_port;
    server.add(0, socket.duplicate(), text);
    server.start(0);
  }
  void send_to_itself(const char* address) const {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = port;
    REQUIRE(::inet_pton(AF_INET, address, &to.sin_addr) == 1);
    REQUIRE(::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) ==
            1);
  }
  // All that it sent to itself was dropped, and told.
  void drops(std::uint64_t count) {
    REQUIRE(run_until(context, [&] { return page.datagrams_lost.get() == count; }));
    CHECK(script.got.empty());
    CHECK(page.datagrams_received.get() == 0);
    server.tick();
    REQUIRE(complaints.size() == 1);
    CHECK(complaints.front().find("forged") != std::string::npos);
  }

  boost::asio::io_context context{1};
  telemetry::WorkerPage page;
  Script script;
  os::Fd socket;
  std::uint16_t port = 0;
  std::vector<std::string> complaints;
  net::DatagramServer server{context, 100, script, page,
                             [this](const std::string& text) { complaints.push_back(text); }};
};

sockaddr_storage v4(in_addr_t address) {
  sockaddr_storage storage{};
  auto& name = reinterpret_cast<sockaddr_in&>(storage);
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(address);
  return storage;
}

}  // namespace

TEST_CASE("a datagram that says it comes from the listener itself is dropped, counted and told") {
  SECTION("of one that hears at one address") {
    Forging serving(AF_INET, v4(INADDR_LOOPBACK), sizeof(sockaddr_in), "udp://127.0.0.1:0");
    serving.send_to_itself("127.0.0.1");
    serving.drops(1);
  }
  SECTION("of one that hears at all of the machine's") {
    Forging serving(AF_INET, v4(INADDR_ANY), sizeof(sockaddr_in), "udp://0.0.0.0:0");
    serving.send_to_itself("127.0.0.1");
    serving.send_to_itself("127.0.0.2");
    serving.drops(2);
  }
  SECTION("of one that hears at all of them, of IPv6 and IPv4") {
    sockaddr_storage any{};
    any.ss_family = AF_INET6;
    const os::Fd probe(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!probe) return;
    Forging serving(AF_INET6, any, sizeof(sockaddr_in6), "udp://*:0");
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = serving.port;
    std::uint64_t sent = 0;
    for (const char* const address : {"::1", "::ffff:127.0.0.1"}) {
      REQUIRE(::inet_pton(AF_INET6, address, &to.sin6_addr) == 1);
      const auto* const name = reinterpret_cast<const sockaddr*>(&to);
      if (::sendto(serving.socket.get(), "x", 1, 0, name, sizeof(to)) == 1) ++sent;
    }
    REQUIRE(sent > 0);
    serving.drops(sent);
  }
}

TEST_CASE("a datagram from a neighbour that has the listener's port at another address comes") {
  Forging serving(AF_INET, v4(INADDR_LOOPBACK), sizeof(sockaddr_in), "udp://127.0.0.1:0");
  const os::Fd neighbour(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address = v4(INADDR_LOOPBACK + 1);
  reinterpret_cast<sockaddr_in&>(address).sin_port = serving.port;
  REQUIRE(::bind(neighbour.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(sockaddr_in)) == 0);
  sockaddr_storage to = v4(INADDR_LOOPBACK);
  reinterpret_cast<sockaddr_in&>(to).sin_port = serving.port;
  REQUIRE(::sendto(neighbour.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to),
                   sizeof(sockaddr_in)) == 1);
  REQUIRE(run_until(serving.context, [&] { return serving.script.got.size() == 1; }));
  CHECK(serving.page.datagrams_lost.get() == 0);
}

TEST_CASE("what is sent to an address that the worker itself listens at is refused") {
  Serving serving;
  serving.server.start(0);
  serving.ends.send("one");
  REQUIRE(serving.gets(1));
  auto itself = *net::DatagramPeer::read(serving.script.peer);
  sockaddr_in own{};
  socklen_t length = sizeof(own);
  REQUIRE(::getsockname(serving.ends.served.get(), reinterpret_cast<sockaddr*>(&own), &length) ==
          0);
  itself.port = own.sin_port;
  CHECK(serving.server.send(itself.opaque(), "x") == APPSERVER_INVALID);
  CHECK(serving.server.send(serving.script.peer, "x") == APPSERVER_OK);
}

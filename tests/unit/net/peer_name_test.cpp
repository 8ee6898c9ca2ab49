#include "net/peer_name.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/message_socket.hpp"

using namespace appserver;

namespace {

struct Pair {
  os::Fd client;
  os::Fd server;
};

const sockaddr* generic(const sockaddr_in6& address) {
  const void* pointer = &address;
  return static_cast<const sockaddr*>(pointer);
}

// Connected over a dual-stack listener to `target`, an IPv6 address that may be a mapped one.
Pair connect_over(const char* target) {
  os::Fd listener(os::check(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
  const int off = 0;
  os::check(::setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), "V6ONLY");
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  os::check(::bind(listener.get(), generic(address), sizeof(address)), "bind()");
  os::check(::listen(listener.get(), 1), "listen()");
  socklen_t length = sizeof(address);
  void* place = &address;
  os::check(::getsockname(listener.get(), static_cast<sockaddr*>(place), &length), "getsockname()");
  REQUIRE(::inet_pton(AF_INET6, target, &address.sin6_addr) == 1);
  Pair pair;
  pair.client = os::Fd(os::check(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
  os::check(::connect(pair.client.get(), generic(address), sizeof(address)), "connect({})", target);
  pair.server = os::Fd(os::check(::accept(listener.get(), nullptr, nullptr), "accept()"));
  return pair;
}

}  // namespace

TEST_CASE("a client's name is its address and port, as plugins read it") {
  REQUIRE_THAT(net::peer_name(connect_over("::1").server.get()), Catch::StartsWith("[::1]:"));
}

TEST_CASE("an IPv4 client of a listener for both families has its IPv4 name") {
  REQUIRE_THAT(net::peer_name(connect_over("::ffff:127.0.0.1").server.get()),
               Catch::StartsWith("127.0.0.1:"));
}

TEST_CASE("a unix socket's peer is called unix, and none at all unknown") {
  const auto [one, other] = os::make_socket_pair(SOCK_STREAM);
  REQUIRE(net::peer_name(one.get()) == "unix");
  const os::Fd alone(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(net::peer_name(alone.get()) == "unknown");
}

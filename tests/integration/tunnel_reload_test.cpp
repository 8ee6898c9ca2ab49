// Tunnels of the proxy while its worker is replaced.
#include <sys/socket.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <future>
#include <string>

#include "support/peer.hpp"
#include "support/tunnel.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;
using appserver::os::Fd;

namespace {

// More than the kernel holds on its way, and nothing in it repeats.
std::string upload() {
  std::string bytes;
  for (std::uint32_t i = 0; bytes.size() < 5'300'000; ++i)
    bytes += std::to_string(i * 2'654'435'761U);
  return bytes;
}

struct Proxied {
  explicit Proxied(const std::string& drain_timeout)
      : tunnel("tcp://" + peer.address(), "    reload: {drain_timeout: " + drain_timeout + "}\n") {}

  // So far that who comes now is served by the new worker.
  void wait_for_successor() {
    tunnel.daemon.wait_for_status("the old worker drains", [](const Status& now) {
      const auto& workers = now.group("api").workers;
      return std::ranges::any_of(workers,
                                 [](const auto& each) { return each.state == "draining"; });
    });
    const Fd next = tunnel.connect();
    send_all(next, "new");
    const Fd upstream = peer.accept();
    REQUIRE(read_all(upstream, 3) == "new");
  }

  Peer peer{65'536};
  Tunnel tunnel;
};

// Blocks as long as the other end does not read, and ends the direction. The error, or 0.
std::future<int> send_in_background(const Fd& socket, const std::string& bytes) {
  return std::async(std::launch::async, [&socket, &bytes] {
    std::string_view left = bytes;
    while (!left.empty()) {
      const ssize_t put = ::send(socket.get(), left.data(), left.size(), MSG_NOSIGNAL);
      if (put <= 0) return errno;
      left.remove_prefix(static_cast<std::size_t>(put));
    }
    return ::shutdown(socket.get(), SHUT_WR) == 0 ? 0 : errno;
  });
}

// Reads to the end; 0 where that is a regular one.
int error_at_end(const Fd& socket) {
  std::string part(65'536, '\0');
  for (;;) {
    const ssize_t got = ::recv(socket.get(), part.data(), part.size(), 0);
    if (got <= 0) return got == 0 ? 0 : errno;
  }
}

}  // namespace

TEST_CASE("what goes through a tunnel during a reload arrives whole, however late it is read") {
  Proxied proxied("60s");
  const std::string bytes = upload();
  const Fd client = proxied.tunnel.connect();
  const Fd upstream = proxied.peer.accept();
  const auto sent = send_in_background(client, bytes);
  Process reload = proxied.tunnel.daemon.begin_ctl({"reload"});
  proxied.wait_for_successor();
  REQUIRE((read_all(upstream) == bytes));
  // One direction has ended; the old worker stays for the other.
  REQUIRE(reload.running());
  send_all(upstream, "received");
  REQUIRE(::shutdown(upstream.get(), SHUT_WR) == 0);
  REQUIRE(read_all(client) == "received");
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{0});
}

TEST_CASE("a tunnel that outlasts drain_timeout is reset at both ends, and the reload says so") {
  Proxied proxied("1s");
  proxied.tunnel.daemon.expect_error("partial after");
  const std::string bytes = upload();
  const Fd client = proxied.tunnel.connect();
  const Fd upstream = proxied.peer.accept();
  auto sent = send_in_background(client, bytes);
  Process reload = proxied.tunnel.daemon.begin_ctl({"reload"});
  proxied.wait_for_successor();
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{5});
  REQUIRE((reload.out() + reload.err()).find("1 connection was cut") != std::string::npos);
  CHECK(error_at_end(upstream) == ECONNRESET);
  // Where it was still sending, the reset ended that.
  const int ended = sent.get();
  const int at_end = error_at_end(client);
  CHECK((ended == ECONNRESET || at_end == ECONNRESET));
}

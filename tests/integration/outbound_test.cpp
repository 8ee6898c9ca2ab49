// Connections that plugins open to others: by the proxy as a tunnel, and by the dialer plugin to
// other groups and to peers that the test plays.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "certificate_maker.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/peer.hpp"
#include "support/site.hpp"
#include "support/talk.hpp"
#include "support/tls_talk.hpp"
#include "support/tunnel.hpp"

using namespace appserver::integration;
using appserver::os::Fd;
namespace fs = std::filesystem;

namespace {

fs::path test_plugin(const std::string& name) {
  return fs::path(APPSERVER_TEST_PLUGINS) / (name + ".so");
}

std::string dialer(const std::string& peer, const std::string& more = {}) {
  return "  front:\n    plugin: dialer\n    count: 1\n    listen: 'http://127.0.0.1:0'\n"
         "    settings: {peer: '" +
         peer + "'" + more + "}\n";
}

std::string state(const Daemon& daemon) { return get(daemon.address("front"), "/state").body; }

void wait_for_state(const Daemon& daemon, const std::string& beginning) {
  const Deadline deadline = 20s;
  std::string last;
  while (!(last = state(daemon)).starts_with(beginning)) {
    INFO(last);
    REQUIRE_FALSE(deadline.passed());
    pause_briefly();
  }
}

// Asked until the connection is open.
std::string ask(const Daemon& daemon, const std::string& question) {
  const Deadline deadline = 20s;
  for (;;) {
    const Response answer = get(daemon.address("front"), "/ask?" + question);
    if (answer.status == 200) return answer.body;
    INFO(answer.text());
    REQUIRE_FALSE(deadline.passed());
    pause_briefly();
  }
}

}  // namespace

TEST_CASE("a tunnel carries bytes both ways, and the end of each direction") {
  Peer peer;
  const Tunnel tunnel("tcp://" + peer.address());
  const Fd client = tunnel.connect();
  send_all(client, "the question");
  const Fd upstream = peer.accept();
  REQUIRE(read_all(upstream, 12) == "the question");
  send_all(upstream, "not yet");
  REQUIRE(read_all(client, 7) == "not yet");
  REQUIRE(::shutdown(client.get(), SHUT_WR) == 0);
  REQUIRE(read_all(upstream).empty());
  send_all(upstream, "the answer");
  REQUIRE(::shutdown(upstream.get(), SHUT_WR) == 0);
  REQUIRE(read_all(client) == "the answer");
}

TEST_CASE("under TLS, too, a direction of a tunnel ends by itself") {
  Peer peer;
  const appserver::test::Authority authority;
  appserver::test::Wanted wanted;
  wanted.names = {"localhost"};
  const auto made = authority.issue(wanted);
  Site site("groups: {}\n");
  std::ofstream(site.root() / "a.pem") << made.chain;
  std::ofstream(site.root() / "a.key") << made.key;
  fs::permissions(site.root() / "a.key", fs::perms::owner_read | fs::perms::owner_write);
  site.configure(
      "groups:\n  api:\n    plugin: proxy\n    listen: 'tls://127.0.0.1:0'\n"
      "    tls: {certificate: a.pem, key: a.key}\n    settings: {upstream: 'tcp://" +
      peer.address() + "'}\n");
  site.install(shipped_plugin("proxy"), "proxy");
  const Daemon daemon(site);
  TlsTalk client(daemon.address(), TlsWish{authority.certificate()});
  client.send("the question");
  const Fd upstream = peer.accept();
  REQUIRE(read_all(upstream, 12) == "the question");
  send_all(upstream, "the answer\n");
  REQUIRE(::shutdown(upstream.get(), SHUT_WR) == 0);
  REQUIRE(client.receive_until("\n") == "the answer\n");
  REQUIRE(client.ends_politely());
  client.send("thanks");
  REQUIRE(read_all(upstream, 6) == "thanks");
}

TEST_CASE("a tunnel to nobody closes its client, and the log says why") {
  Peer peer;
  peer.leave();
  const Tunnel tunnel("tcp://" + peer.address());
  const Fd client = tunnel.connect();
  REQUIRE(read_all(client).empty());
  tunnel.daemon.wait_for_log("tcp://" + peer.address() + ": connection refused");
}

TEST_CASE("a tunnel whose upstream is lost closes its client, and the other way round") {
  Peer peer;
  const Tunnel tunnel("tcp://" + peer.address());
  Fd client = tunnel.connect();
  Fd upstream = peer.accept();
  const linger reset{1, 0};
  if (GENERATE(true, false)) {
    ::setsockopt(upstream.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    upstream.reset();
    REQUIRE(read_all(client).empty());
  } else {
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    client.reset();
    REQUIRE(read_all(upstream).empty());
  }
}

TEST_CASE("a tunnel holds back a sender whose reader is slow, and loses nothing") {
  Peer peer;
  const Tunnel tunnel("tcp://" + peer.address());
  const Fd client = tunnel.connect();
  const Fd upstream = peer.accept();
  const std::string piece(65'536, 'x');
  constexpr std::size_t kMost = std::size_t{256} << 20;
  std::size_t sent = 0;
  // Until nothing more fits between the two.
  const timeval brief{1, 0};
  ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof(brief));
  while (sent < kMost) {
    const ssize_t put = ::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
    if (put <= 0) break;
    sent += static_cast<std::size_t>(put);
  }
  // The kernel's buffers of two connections, and the worker's share.
  REQUIRE(sent < std::size_t{64} << 20);
  REQUIRE(::shutdown(client.get(), SHUT_WR) == 0);
  CHECK(read_all(upstream).size() == sent);
}

TEST_CASE("a plugin speaks to another group over each protocol, and through its reloads") {
  const std::string scheme = GENERATE("text", "frame", "ws", "text+tls", "frame+tls", "wss");
  INFO(scheme);
  const bool tls = scheme.find("tls") != std::string::npos || scheme == "wss";
  const appserver::test::Authority authority;
  appserver::test::Wanted wanted;
  wanted.names = {"localhost"};
  const auto made = authority.issue(wanted);
  Site site("groups: {}\n");
  std::ofstream(site.root() / "ca.pem") << authority.certificate();
  std::ofstream(site.root() / "a.pem") << made.chain;
  std::ofstream(site.root() / "a.key") << made.key;
  fs::permissions(site.root() / "a.key", fs::perms::owner_read | fs::perms::owner_write);
  const std::string socket = (site.root() / "run/talk.sock").string();
  std::string groups = "groups:\n  api:\n    plugin: talk_plain\n    count: 1\n    listen: ['";
  groups += scheme + "://unix:" + socket +
            "', 'http://unix:run/api.sock']\n    reload: {drain_timeout: 5s, close_spread: 0s}\n";
  if (tls) groups += "    tls: {certificate: a.pem, key: a.key}\n";
  std::string more = ", ca_file: '" + (site.root() / "ca.pem").string() + "'";
  if (scheme.starts_with("ws")) more += ", subprotocol: talk";
  site.configure(groups + dialer(scheme + "://unix:" + socket, more));
  const fs::path builds(APPSERVER_TEST_PLUGINS);
  site.install(builds / "v1/talk_plain.so", "talk_plain");
  site.install(test_plugin("dialer"), "dialer");
  const Daemon daemon(site);
  CHECK(ask(daemon, "hello") == "v1 1 hello\n");
  CHECK(ask(daemon, "again") == "v1 2 again\n");
  if (scheme.starts_with("ws")) CHECK(state(daemon) == "1 0 0 -1 talk \n");
  site.install(builds / "v2/talk_plain.so", "talk_plain");
  REQUIRE(daemon.ctl({"reload", "api"}).exit.code == 0);
  // The old worker has said goodbye; the dialer comes back to the new one.
  wait_for_state(daemon, "2 1 ");
  CHECK(ask(daemon, "hello") == "v2 1 hello\n");
  // Its own reload ends what it has opened, and the successor opens its own.
  REQUIRE(daemon.ctl({"reload", "front"}).exit.code == 0);
  CHECK(ask(daemon, "hello") == "v2 1 hello\n");
  wait_for_state(daemon, "1 0 ");
  const Response closes = get(daemon.address("api", 1), "/closes");
  CHECK(closes.body == (scheme.starts_with("ws") ? "1 0 1001\n" : "1 0 0\n"));
}

TEST_CASE("a peer that goes is called again until it is back") {
  Peer peer;
  Site site("groups:\n" + dialer("text://" + peer.address()));
  site.install(test_plugin("dialer"), "dialer");
  const Daemon daemon(site);
  Fd first = peer.accept();
  peer.leave();
  first.reset();
  wait_for_state(daemon, "1 1 3");
  CHECK(state(daemon).find("connection refused") != std::string::npos);
  peer.come_back();
  const Fd second = peer.accept();
  wait_for_state(daemon, "2 1 ");
  send_all(second, "unasked\n");
  CHECK(state(daemon).starts_with("2 1 "));
}

TEST_CASE("a peer with a certificate of somebody else is not spoken to") {
  const appserver::test::Authority authority;
  const appserver::test::Authority other("Other Authority");
  appserver::test::Wanted wanted;
  wanted.names = {"elsewhere", "localhost"};
  const bool unknown = GENERATE(true, false);
  if (!unknown) wanted.names = {"elsewhere"};
  const auto made = (unknown ? other : authority).issue(wanted);
  Site site("groups: {}\n");
  std::ofstream(site.root() / "ca.pem") << authority.certificate();
  std::ofstream(site.root() / "a.pem") << made.chain;
  std::ofstream(site.root() / "a.key") << made.key;
  fs::permissions(site.root() / "a.key", fs::perms::owner_read | fs::perms::owner_write);
  const std::string url = "wss://unix:" + (site.root() / "run/talk.sock").string();
  site.configure("groups:\n  api:\n    plugin: talk\n    listen: '" + url +
                 "'\n    tls: {certificate: a.pem, key: a.key}\n" +
                 dialer(url, ", ca_file: '" + (site.root() / "ca.pem").string() + "'"));
  site.install(fs::path(APPSERVER_TEST_PLUGINS) / "v1/talk.so", "talk");
  site.install(test_plugin("dialer"), "dialer");
  const Daemon daemon(site);
  const Deadline deadline = 20s;
  while (state(daemon).find("the certificate of the peer is refused") == std::string::npos) {
    REQUIRE_FALSE(deadline.passed());
    pause_briefly();
  }
  CHECK(state(daemon).starts_with("0 0 "));
}

TEST_CASE("a server that refuses a WebSocket is told with its status") {
  Peer peer;
  Site site("groups:\n" + dialer("ws://" + peer.address()));
  site.install(test_plugin("dialer"), "dialer");
  const Daemon daemon(site);
  const Fd upstream = peer.accept();
  std::string request;
  while (request.find("\r\n\r\n") == std::string::npos) request += read_all(upstream, 1);
  send_all(upstream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(read_all(upstream).empty());
  wait_for_state(daemon, "0 0 1 -1 - ws://" + peer.address());
  CHECK(state(daemon).find("status 403") != std::string::npos);
}

TEST_CASE("a plugin awaits an answer over HTTP, and a failure is the request's") {
  Peer peer;
  Site site("groups:\n" + dialer("text://" + peer.address()));
  site.install(test_plugin("dialer"), "dialer");
  Daemon daemon(site);
  std::thread answering([&] {
    const Fd ignored = peer.accept();
    const Fd asked = peer.accept();
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) request += read_all(asked, 1);
    send_all(asked, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  });
  const Response got = get(daemon.address("front"), "/http?http://" + peer.address() + "/x");
  answering.join();
  CHECK(got.body == "200 hello");
  peer.leave();
  daemon.expect_error("connection refused");
  CHECK(get(daemon.address("front"), "/http?http://" + peer.address() + "/x").status == 500);
}

// Answers that pass the proxy: as they arrive, whatever their size, no faster than they are taken.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <string>
#include <utility>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/peer.hpp"
#include "support/sanitized.hpp"

using namespace appserver::integration;
using appserver::os::Fd;

namespace {

struct Proxied {
  Proxied()
      : site(
            "groups:\n  api: {plugin: proxy, count: 1, listen: 'http://127.0.0.1:0', settings: "
            "{upstream: 'http://" +
            peer.address() + "', timeout_ms: 20000}}\n"),
        daemon(prepared(site)) {}

  static const Site& prepared(Site& site) {
    site.install(shipped_plugin("proxy"), "proxy");
    return site;
  }
  static std::string head(const Fd& socket) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) head += read_all(socket, 1);
    return head;
  }
  // For calls that block, but not for ever.
  Fd ask() const {
    int error = 0;
    Fd socket = begin_connect(daemon.address(), error);
    const int flags = ::fcntl(socket.get(), F_GETFL);
    ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK);
    be_patient(socket);
    send_all(socket, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    return socket;
  }

  Peer peer;
  Site site;
  Daemon daemon;
};

std::string content(std::size_t size) {
  std::string bytes;
  for (std::uint32_t i = 0; bytes.size() < size; ++i) bytes += std::to_string(i * 2'654'435'761U);
  bytes.resize(size);
  return bytes;
}

}  // namespace

TEST_CASE("an answer passes the proxy as it arrives, and its connection is used again") {
  Proxied proxied;
  const Fd client = proxied.ask();
  const Fd upstream = proxied.peer.accept();
  Proxied::head(upstream);
  send_all(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst");
  CHECK(Proxied::head(client).find("Content-Length: 9\r\n") != std::string::npos);
  CHECK(read_all(client, 5) == "first");
  send_all(upstream, "rest");
  CHECK(read_all(client, 4) == "rest");
  send_all(client, "GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(Proxied::head(upstream).starts_with("GET /again "));
  send_all(upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  const std::string head = Proxied::head(client);
  CHECK(head.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
  CHECK(read_all(client, 8) == "3\r\none\r\n");
  send_all(upstream, "3\r\ntwo\r\n0\r\n\r\n");
  CHECK(read_all(client, 13) == "3\r\ntwo\r\n0\r\n\r\n");
}

TEST_CASE("a large answer passes the proxy no faster than its client reads, and is whole") {
  constexpr std::size_t kSize = std::size_t{96} << 20;
  const std::string bytes = content(kSize);
  Proxied proxied;
  const Fd client = proxied.ask();
  const Fd upstream = proxied.peer.accept();
  Proxied::head(upstream);
  std::atomic<std::size_t> sent{0};
  auto sending = std::async(std::launch::async, [&] {
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n";
    if (::send(upstream.get(), head.data(), head.size(), MSG_NOSIGNAL) <= 0) return false;
    while (sent < kSize) {
      const std::size_t most = std::min(kSize - sent, std::size_t{65'536});
      const ssize_t put = ::send(upstream.get(), bytes.data() + sent, most, MSG_NOSIGNAL);
      if (put <= 0) return false;
      sent += static_cast<std::size_t>(put);
    }
    return true;
  });
  std::size_t before = 0;
  auto changed = std::chrono::steady_clock::now();
  eventually("the upstream was held up", 15s, [&] {
    const auto now = std::chrono::steady_clock::now();
    if (std::exchange(before, sent.load()) != sent) changed = now;
    return sent > 0 && now - changed > 500ms;
  });
  CHECK(sent < kSize / 2);
  CHECK((kSanitized || proxied.daemon.status().group("api").workers.at(0).rss_bytes < 40 << 20));
  Proxied::head(client);
  CHECK((read_all(client, kSize) == bytes));
  CHECK(sending.get());
}

TEST_CASE("an answer that breaks off upstream does not look whole behind the proxy") {
  const bool has_length = GENERATE(false, true);
  Proxied proxied;
  Connection client(proxied.daemon.address());
  REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  Fd upstream = proxied.peer.accept();
  Proxied::head(upstream);
  send_all(upstream, has_length ? "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
                                : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf");
  upstream.reset();
  const Response got = client.receive();
  INFO(got.text());
  CHECK((got.outcome == Outcome::cut_short || got.outcome == Outcome::reset));
  proxied.daemon.wait_for_log("the server closed the connection before the answer was whole");
}

TEST_CASE("a client that leaves in the midst of an answer ends it upstream") {
  Proxied proxied;
  Fd client = proxied.ask();
  const Fd upstream = proxied.peer.accept();
  Proxied::head(upstream);
  send_all(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
  Proxied::head(client);
  CHECK(read_all(client, 5) == "first");
  client.reset();
  CHECK(read_all(upstream, 1).empty());
}

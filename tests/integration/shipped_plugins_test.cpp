// The plugins worth copying, in the daemon.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "os/fd.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/scratch_dir.hpp"

using namespace appserver::integration;

namespace {

std::string group(const std::string& plugin, const std::string& settings) {
  return "groups:\n  api: {plugin: " + plugin +
         ", count: 1, listen: http://127.0.0.1:0, settings: {" + settings + "}}\n";
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 4 & 0xff);
  return text;
}

}  // namespace

TEST_CASE("the file server serves a folder, a large file whole and in parts, and nothing above") {
  const ScratchDir scratch;
  const std::string large = pattern(5'000'000);
  std::filesystem::create_directories(scratch.path() / "www/docs");
  write_file(scratch.path() / "secret", "secret");
  write_file(scratch.path() / "www/docs/index.html", "<p>docs");
  write_file(scratch.path() / "www/large.bin", large);
  Site site(group("file-server", "folder: " + (scratch.path() / "www").string()));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  Connection connection(daemon.address());

  REQUIRE(connection.get("/docs/").body == "<p>docs");
  REQUIRE(connection.get("/docs").status == 301);
  REQUIRE(connection.get("/..%2fsecret").status == 404);
  REQUIRE(connection.get("/%2e%2e/secret").status == 404);

  const auto whole = connection.get("/large.bin");
  INFO(whole.text().substr(0, 300));
  REQUIRE(whole.ok());
  REQUIRE(whole.header("Content-Length") == "5000000");
  REQUIRE((whole.body == large));
  const std::string host = "\r\nHost: x\r\n";
  const auto part = connection.raw(
      "GET /large.bin HTTP/1.1" + host +
      "Range: bytes=1000000-3999999\r\nIf-Range: " + whole.header("ETag") + "\r\n\r\n");
  REQUIRE(part.status == 206);
  REQUIRE(part.header("Content-Range") == "bytes 1000000-3999999/5000000");
  REQUIRE((part.body == large.substr(1'000'000, 3'000'000)));
  const auto same = connection.raw("GET /large.bin HTTP/1.1" + host +
                                   "If-None-Match: " + whole.header("ETag") + "\r\n\r\n");
  REQUIRE(same.status == 304);
  REQUIRE(connection.send("HEAD /large.bin HTTP/1.1" + host + "\r\n") == Outcome::ok);
  const auto head = connection.receive(true);
  REQUIRE(head.ok());
  REQUIRE(head.header("Content-Length") == "5000000");
  REQUIRE(connection.get("/docs/").ok());
  REQUIRE(connection.connects() == 1);
}

TEST_CASE("a client that does not read holds up neither the file server nor the others") {
  const ScratchDir scratch;
  const std::string large = pattern(30'000'000);
  write_file(scratch.path() / "large.bin", large);
  write_file(scratch.path() / "small.txt", "small");
  Site site(group("file-server", "folder: " + scratch.path().string()));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  Connection slow(daemon.address());
  REQUIRE(slow.send("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/small.txt").body == "small");
  const auto late = slow.receive();
  REQUIRE(late.ok());
  REQUIRE((late.body == large));
}

TEST_CASE("the file server is refused without its folder, and what ran goes on") {
  const ScratchDir scratch;
  write_file(scratch.path() / "a.txt", "a");
  Site site(group("file-server", "folder: " + scratch.path().string()));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  daemon.expect_error("No such file");
  site.configure(group("file-server", "folder: " + (scratch.path() / "none").string()));
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 3);
  REQUIRE(reload.text().find("none: No such file or directory") != std::string::npos);
  REQUIRE(get(daemon.address(), "/a.txt").body == "a");
}

TEST_CASE("the clock ticks in its clients, and a reload moves them without waiting for a timeout") {
  Site site(
      "groups:\n  api: {plugin: clock, count: 1, listen: http://127.0.0.1:0,\n"
      "    reload: {drain_timeout: 10m}}\n");
  site.install(shipped_plugin("clock"), "clock");
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/").body.find("EventSource") != std::string::npos);
  Connection connection(daemon.address());
  REQUIRE(connection.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  daemon.wait_for_status("the stream is open", [](const Status& status) {
    return status.text.find("\"in_flight\":1") != std::string::npos;
  });
  const auto old = daemon.pids();
  // Within its own minute, though the drain might last ten.
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  REQUIRE(daemon.pids() != old);
  const auto events = connection.receive();
  INFO(events.text());
  REQUIRE(events.ok());
  REQUIRE(events.header("Content-Type") == "text/event-stream");
  const std::size_t first = events.body.find("event: tick\nid: ");
  REQUIRE(first == 0);

  // As EventSource does: on the connection that it has, which is the successor's now.
  const std::size_t id = events.body.rfind("id: ") + 4;
  const std::string last = events.body.substr(id, events.body.find('\n', id) - id);
  REQUIRE(connection.send("GET /events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + last +
                          "\r\n\r\n") == Outcome::ok);
  daemon.wait_for_status("the stream is open again", [](const Status& status) {
    return status.text.find("\"in_flight\":1") != std::string::npos;
  });
  REQUIRE(connection.connects() == 1);
}

TEST_CASE(
    "the proxy passes requests on without what is for one connection, and tells of failures") {
  Site site(group("proxy", "upstream: 'http://127.0.0.1:1', timeout_ms: 300"));
  site.install(shipped_plugin("proxy"), "proxy");
  Daemon daemon(site);
  const auto refused = get(daemon.address(), "/x");
  REQUIRE(refused.status == 502);
  REQUIRE(refused.body == "the upstream cannot be reached\n");
  daemon.wait_for_log("GET http://127.0.0.1:1/x: connection refused (127.0.0.1:1)");
}

namespace {

// A server that the test plays, byte by byte.
class Upstream {
 public:
  Upstream() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = static_cast<sockaddr*>(static_cast<void*>(&address));
    socklen_t size = sizeof(address);
    REQUIRE(::bind(listener_.get(), any, size) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    REQUIRE(::getsockname(listener_.get(), any, &size) == 0);
    be_patient(listener_);
    authority_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  const std::string& authority() const { return authority_; }

  // The head of the next request, of the connection that there is or else of a new one.
  std::string next_head() {
    if (!served_) {
      served_ = appserver::os::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      REQUIRE(served_);
      be_patient(served_);
    }
    std::string head;
    char next = 0;
    while (!head.ends_with("\r\n\r\n") && ::recv(served_.get(), &next, 1, 0) == 1) head += next;
    return head;
  }
  void answer(std::string_view bytes) {
    REQUIRE(::send(served_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }

 private:
  static void be_patient(const appserver::os::Fd& socket) {
    const timeval patience{20, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }

  appserver::os::Fd listener_;
  appserver::os::Fd served_;
  std::string authority_;
};

}  // namespace

TEST_CASE("the proxy keeps back what is for one connection, and says from whom a request came") {
  Upstream upstream;
  Site site(group("proxy", "upstream: 'http://" + upstream.authority() + "', timeout_ms: 1000"));
  site.install(shipped_plugin("proxy"), "proxy");
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.send("GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Hop\r\n"
                      "X-Hop: 1\r\nX-End: 2\r\nX-Real-IP: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n"
                      "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n") ==
          Outcome::ok);
  CHECK(upstream.next_head() == "GET /a?b=c HTTP/1.1\r\nHost: " + upstream.authority() +
                                    "\r\nUser-Agent: appserverd\r\nX-End: 2\r\n"
                                    "X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nX-Forwarded-Host: x\r\n"
                                    "X-Forwarded-Proto: http\r\n\r\n");
  upstream.answer(
      "HTTP/1.1 201 Created\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n"
      "Content-Length: 2\r\n\r\nok");
  const Response got = client.receive();
  CHECK(got.status == 201);
  CHECK(got.body == "ok");
  CHECK(got.header("X-End") == "2");
  CHECK(got.count("X-Hop") == 0);
  // The upstream is silent from now on.
  CHECK(client.get("/late").status == 504);
}

TEST_CASE("no name that an upstream could take for one of the proxy's passes") {
  Upstream upstream;
  Site site(group("proxy", "upstream: 'http://" + upstream.authority() + "', timeout_ms: 5000"));
  site.install(shipped_plugin("proxy"), "proxy");
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded_For: 9.9.9.9\r\n"
                      "x_real_ip: 9.9.9.9\r\nX_Forwarded_Proto: https\r\nContent_Length: 5\r\n"
                      "Proxy: http://evil\r\nX_End: 1\r\n\r\n") == Outcome::ok);
  CHECK(upstream.next_head() == "GET / HTTP/1.1\r\nHost: " + upstream.authority() +
                                    "\r\nUser-Agent: appserverd\r\nX_End: 1\r\n"
                                    "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: x\r\n"
                                    "X-Forwarded-Proto: http\r\n\r\n");
  upstream.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  CHECK(client.receive().body == "ok");
}

TEST_CASE("what any of several Connection fields names is of that connection, both ways") {
  Upstream upstream;
  Site site(group("proxy", "upstream: 'http://" + upstream.authority() + "', timeout_ms: 5000"));
  site.install(shipped_plugin("proxy"), "proxy");
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nX-One: 1\r\n"
                      "Connection: ,\t x-one , X-Two\r\nX-Two: 2\r\nX-End: 3\r\n\r\n") ==
          Outcome::ok);
  const std::string head = upstream.next_head();
  CHECK(head.find("X-One") == std::string::npos);
  CHECK(head.find("X-Two") == std::string::npos);
  CHECK(head.find("X-End: 3\r\n") != std::string::npos);
  upstream.answer(
      "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: X-One\r\nX-One: 1\r\n"
      "X-End: 2\r\nContent-Length: 2\r\n\r\nok");
  const Response got = client.receive();
  CHECK(got.body == "ok");
  CHECK(got.header("X-End") == "2");
  CHECK(got.count("X-One") == 0);
}

TEST_CASE("the proxy behind another one says the client's address and not that one's") {
  Upstream upstream;
  Site site(
      "groups:\n  api: {plugin: proxy, listen: http://127.0.0.1:0, proxy_protocol: true, "
      "settings: {upstream: 'http://" +
      upstream.authority() + "', timeout_ms: 5000}}\n");
  site.install(shipped_plugin("proxy"), "proxy");
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.send("PROXY TCP4 192.0.2.1 198.51.100.2 5123 443\r\n"
                      "GET / HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  CHECK(upstream.next_head().find("X-Forwarded-For: 192.0.2.1\r\n") != std::string::npos);
  upstream.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  CHECK(client.receive().body == "ok");
}

TEST_CASE("the proxy says of an answer without a body no more than the upstream did") {
  Upstream upstream;
  Site site(group("proxy", "upstream: 'http://" + upstream.authority() + "', timeout_ms: 5000"));
  site.install(shipped_plugin("proxy"), "proxy");
  Daemon daemon(site);
  Connection client(daemon.address());
  const auto ask = [&](const std::string& method, std::string_view answer) {
    REQUIRE(client.send(method + " / HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
    upstream.next_head();
    upstream.answer(answer);
    return client.receive(method == "HEAD");
  };
  const Response head = ask("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n");
  CHECK(head.status == 200);
  CHECK(head.header("Content-Length") == "300");
  const Response unchanged = ask("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
  CHECK(unchanged.status == 304);
  CHECK(unchanged.header("ETag") == "\"a\"");
  CHECK(unchanged.count("Content-Type") == 0);
  const Response odd = ask("GET", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n");
  CHECK(odd.status == 502);
  CHECK(odd.body == "the upstream gave no whole answer\n");
  daemon.wait_for_log("the upstream's status is 999");
}

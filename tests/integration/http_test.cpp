// HTTP/1.1 on the wire, through the whole daemon: what a client sees, byte by byte where it
// matters.
#include <catch2/catch.hpp>
#include <filesystem>
#include <regex>

#include "support/daemon.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

std::string head(std::string_view line, std::string_view headers = {}) {
  return std::string(line).append("\r\nHost: x\r\n").append(headers).append("\r\n");
}

void require_refused_and_closed(Connection& connection, const std::string& request, int status) {
  const auto response = connection.raw(request);
  INFO(request << "\n" << response.text());
  REQUIRE(response.outcome == Outcome::ok);
  REQUIRE(response.status == status);
  REQUIRE(response.header("Connection") == "close");
  REQUIRE(connection.closed_by_server(10s));
  REQUIRE(connection.unread().empty());
}

}  // namespace

TEST_CASE("a connection serves request after request, each with Date and Content-Length") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  for (int i = 0; i < 3; ++i) {
    const auto response = connection.get("/");
    INFO(response.text());
    REQUIRE(response.ok());
    REQUIRE(response.version == 11);
    REQUIRE(response.body == "v1\n");
    REQUIRE(response.header("Content-Length") == "3");
    const std::regex date("[A-Z][a-z]{2}, \\d{2} [A-Z][a-z]{2} \\d{4} \\d{2}:\\d{2}:\\d{2} GMT");
    REQUIRE(std::regex_match(response.header("Date"), date));
  }
  REQUIRE(connection.connects() == 1);
}

TEST_CASE("answers to pipelined requests come in their order, though the first is the slowest") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const auto requests = head("GET /slow?ms=200 HTTP/1.1") + head("GET /echo?text=two HTTP/1.1") +
                        head("GET /slow?ms=50 HTTP/1.1") + head("GET /echo?text=four HTTP/1.1");
  REQUIRE(connection.send(requests) == Outcome::ok);
  for (const std::string body : {"v1\n", "two\n", "v1\n", "four\n"}) {
    const auto response = connection.receive();
    INFO(response.text());
    REQUIRE(response.body == body);
  }
}

TEST_CASE("a hundred requests in one packet get a hundred answers") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  std::string requests;
  for (int i = 0; i < 100; ++i)
    requests += head("GET /echo?text=" + std::to_string(i) + " HTTP/1.1");
  REQUIRE(connection.send(requests) == Outcome::ok);
  for (int i = 0; i < 100; ++i) REQUIRE(connection.receive().body == std::to_string(i) + "\n");
}

TEST_CASE("a request that comes byte by byte is a request") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  for (const char byte : head("POST / HTTP/1.1", "Content-Length: 4\r\n") + "body") {
    REQUIRE(connection.send(std::string(1, byte)) == Outcome::ok);
  }
  REQUIRE(connection.receive().body == "4 v1\n");
}

TEST_CASE("HEAD has the headers of GET and no body") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.send(head("HEAD / HTTP/1.1") + head("GET /echo?text=next HTTP/1.1")) ==
          Outcome::ok);
  const auto response = connection.receive(true);
  REQUIRE(response.ok());
  REQUIRE(response.header("Content-Length") == "3");
  REQUIRE(connection.receive().body == "next\n");
}

TEST_CASE("a chunked body reaches the plugin whole") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const std::string chunks = "4\r\nabcd\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
  const auto response =
      connection.raw(head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + chunks);
  INFO(response.text());
  REQUIRE(response.body == "20 v1\n");
  REQUIRE(connection.get("/").body == "v1\n");
}

TEST_CASE("a large body reaches the plugin whole") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const auto response = connection.post("/", std::string(5'000'000, 'x'));
  INFO(response.text());
  REQUIRE(response.body == "5000000 v1\n");
}

TEST_CASE("a streamed answer is chunked, and ends with the connection for HTTP/1.0") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const auto chunked = connection.get("/stream?pieces=4");
  INFO(chunked.text());
  REQUIRE(chunked.header("Transfer-Encoding") == "chunked");
  REQUIRE(chunked.body == "v1\nv1\nv1\nv1\n");
  REQUIRE(connection.get("/").ok());

  Connection old(daemon.address());
  const auto plain = old.raw("GET /stream?pieces=4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  INFO(plain.text());
  REQUIRE(plain.count("Transfer-Encoding") == 0);
  REQUIRE(plain.body == "v1\nv1\nv1\nv1\n");
}

TEST_CASE("Expect: 100-continue is answered before the body is sent") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const auto interim =
      connection.raw(head("POST / HTTP/1.1", "Content-Length: 4\r\nExpect: 100-continue\r\n"));
  INFO(interim.text());
  REQUIRE(interim.status == 100);
  REQUIRE(connection.raw("body").body == "4 v1\n");
}

TEST_CASE("Expect: 100-continue with a body over the limit is answered with 413 at once") {
  Site site(probe_group(1, "    limits: {max_body: 1KiB}\n"));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const auto request = head("POST / HTTP/1.1", "Content-Length: 4096\r\nExpect: 100-continue\r\n");
  require_refused_and_closed(connection, request, 413);
}

TEST_CASE("a body over the limit is refused with 413, by length and by chunks") {
  Site site(probe_group(1, "    limits: {max_body: 1KiB}\n"));
  Daemon daemon(site);
  Connection exact(daemon.address());
  REQUIRE(exact.post("/", std::string(1024, 'x')).body == "1024 v1\n");
  Connection sized(daemon.address());
  require_refused_and_closed(sized, head("POST / HTTP/1.1", "Content-Length: 1025\r\n"), 413);
  Connection chunked(daemon.address());
  const auto chunk = "401\r\n" + std::string(1025, 'x') + "\r\n0\r\n\r\n";
  require_refused_and_closed(
      chunked, head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + chunk, 413);
}

TEST_CASE("a head without end is refused with 431") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  require_refused_and_closed(
      connection, head("GET / HTTP/1.1", "X-Long: " + std::string(200'000, 'x') + "\r\n"), 431);
}

TEST_CASE("a head that is not sent to its end in time is answered with 408") {
  Site site(probe_group(1, "    limits: {header_timeout: 300ms}\n"));
  Daemon daemon(site);
  Connection connection(daemon.address());
  require_refused_and_closed(connection, "GET / HTTP/1.1\r\nHost: x\r\n", 408);
}

TEST_CASE("a connection that stays idle is closed without a word") {
  Site site(probe_group(1, "    limits: {idle_timeout: 300ms}\n"));
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.get("/").ok());
  REQUIRE(connection.closed_by_server(10s));
  REQUIRE(connection.unread().empty());
}

TEST_CASE("what could smuggle a request is refused, and nothing behind it is run") {
  const std::string behind = head("GET /echo?text=smuggled HTTP/1.1");
  const std::vector<std::string> requests{
      head("POST / HTTP/1.1", "Transfer-Encoding: xchunked\r\n"),
      head("POST / HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n"),
      head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
      head("POST / HTTP/1.1", "Content-Length: 5\r\nContent-Length: 6\r\n"),
      head("POST / HTTP/1.1", "Content-Length: 5, 5\r\n"),
      head("POST / HTTP/1.1", "Content-Length: +5\r\n"),
      head("POST / HTTP/1.1", "Content-Length : 5\r\n"),
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
  };
  Site site(probe_group(1));
  Daemon daemon(site);
  for (const auto& request : requests) {
    Connection connection(daemon.address());
    const auto response = connection.raw(request + behind);
    INFO(request << "\n" << response.text());
    REQUIRE((response.status == 400 || response.status == 501));
    REQUIRE(connection.closed_by_server(10s));
    REQUIRE(connection.unread().empty());
  }
}

TEST_CASE("a malformed request is answered with 400 and a close") {
  const std::vector<std::string> requests{
      "GET / HTTP/1.1\r\n\r\n",                        // no Host
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",  // two
      head("GET noslash HTTP/1.1"),
      head("GET /  HTTP/1.1"),
      head("GET / HTTP/1.1", "Bad Header: x\r\n"),
      head("GET / HTTP/1.1", "A: b\r\n folded\r\n"),
      std::string("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 33),
      "\x16\x03\x01\x02\x03\r\n\r\n",  // a TLS hello
  };
  Site site(probe_group(1));
  Daemon daemon(site);
  for (const auto& request : requests) {
    Connection connection(daemon.address());
    require_refused_and_closed(connection, request, 400);
  }
}

TEST_CASE("HTTP/1.0 closes after its answer unless asked to keep the connection") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection closing(daemon.address());
  REQUIRE(closing.raw("GET / HTTP/1.0\r\n\r\n").body == "v1\n");
  REQUIRE(closing.closed_by_server(10s));

  Connection kept(daemon.address());
  const std::string request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  const auto response = kept.raw(request);
  INFO(response.text());
  REQUIRE(response.header("Connection") == "keep-alive");
  REQUIRE(kept.raw(request).body == "v1\n");
  REQUIRE(kept.connects() == 1);
}

TEST_CASE("Connection: close is honoured and said") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const auto response = connection.raw(head("GET / HTTP/1.1", "Connection: close\r\n"));
  INFO(response.text());
  REQUIRE(response.body == "v1\n");
  REQUIRE(response.header("Connection") == "close");
  REQUIRE(connection.closed_by_server(10s));
}

TEST_CASE("a client that has shut down its sending side still gets its answer") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.send(head("GET /slow?ms=100 HTTP/1.1")) == Outcome::ok);
  connection.shut_down_sending();
  const auto response = connection.receive();
  INFO(response.text());
  REQUIRE(response.body == "v1\n");
}

TEST_CASE("a client that goes away while its answer is made harms nobody") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  Gate gate(site.root());
  Connection gone(daemon.address());
  REQUIRE(gone.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  gone.close();
  gate.open();
  REQUIRE(get(daemon.address(), "/").ok());
  daemon.wait_for_status("nothing is in flight", [](const Status& status) {
    return status.group("api").workers.at(0).in_flight == 0;
  });
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a group listens on IPv4, IPv6 and a unix socket at once") {
  Site site(
      "groups:\n"
      "  api:\n"
      "    plugin: probe\n"
      "    count: 2\n"
      "    listen: ['http://127.0.0.1:0', 'http://[::1]:0', 'http://unix:run/api.sock']\n");
  Daemon daemon(site);
  const auto listen = daemon.status().group("api").listen;
  REQUIRE(listen.size() == 3);
  REQUIRE(listen[2].unix_path == (site.root() / "run/api.sock").string());
  for (const auto& endpoint : listen) {
    Connection connection(endpoint);
    for (int i = 0; i < 5; ++i) {
      const auto response = connection.get("/");
      INFO(endpoint.text() << ": " << response.text());
      REQUIRE(response.body == "v1\n");
    }
  }
}

TEST_CASE("two groups answer on their own addresses") {
  Site site(
      "groups:\n"
      "  one: {plugin: probe, listen: http://127.0.0.1:0, count: 1, settings: {who: one}}\n"
      "  two: {plugin: probe, listen: http://127.0.0.1:0, count: 1, settings: {who: two}}\n");
  Daemon daemon(site);
  REQUIRE(get(daemon.address("one"), "/setting?name=who").body == "one\n");
  REQUIRE(get(daemon.address("two"), "/setting?name=who").body == "two\n");
}

TEST_CASE("requests and connections are counted in the status") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection connection(daemon.address());
  for (int i = 0; i < 7; ++i) REQUIRE(connection.get("/").ok());
  daemon.wait_for_status("seven requests and one connection are counted", [](const Status& status) {
    const auto& worker = status.group("api").workers.at(0);
    return worker.requests == 7 && worker.connections == 1 && worker.in_flight == 0;
  });
}

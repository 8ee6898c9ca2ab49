// `proxy_protocol: true`: each connection says first whose it is, and that stays with it.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/talk.hpp"
#include "support/tls_talk.hpp"

using namespace appserver::integration;
using appserver::test::Authority;
using appserver::test::Wanted;

namespace {

const std::string kV1 = "PROXY TCP4 192.0.2.1 198.51.100.2 5123 443\r\n";
const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kV2 = kSignature + std::string("\x21\x11\0\x0C", 4) +
                        std::string("\xC0\0\2\1\xC6\x33\x64\2", 8) + "\x14\x03\x01\xBB";
const std::string kLocal = kSignature + std::string("\x20\0\0\0", 4);
const std::string kClient = "192.0.2.1:5123";

std::filesystem::path talk(const char* version) {
  return std::filesystem::path(APPSERVER_TEST_PLUGINS) / version / "talk.so";
}

std::string group(const std::string& listen, const std::string& more = {},
                  const std::string& plugin = "talk") {
  return "groups:\n  api:\n    plugin: " + plugin + "\n    listen: [" + listen +
         "]\n    count: 2\n    proxy_protocol: true\n" + more;
}

std::string http_group(const std::string& more = {}) {
  return group("'http://127.0.0.1:0'", more, "probe");
}

std::string remote(Connection& connection) {
  const Response answer = connection.get("/remote");
  INFO(answer.text());
  CHECK(answer.ok());
  return answer.body;
}

void reload(Daemon& daemon) {
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

WebSocketWish behind(const std::string& header) {
  WebSocketWish wish;
  wish.preamble = header;
  return wish;
}

// Behind "VERSION NUMBER " of other answers there is none of these.
std::string ends(Talk& client) { return client.ask("ends"); }

}  // namespace

TEST_CASE("every protocol has the client's address from its header, over TCP and unix sockets") {
  Site site(group(
      "'http://127.0.0.1:0', 'ws://127.0.0.1:0', 'text://127.0.0.1:0', 'frame://127.0.0.1:0', "
      "'text://unix:run/t.sock', 'ws://unix:run/w.sock'"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  const std::string header = GENERATE(kV1, kV2);
  for (std::size_t i = 0; i < 6; ++i) {
    const Endpoint endpoint = daemon.address("api", i);
    INFO(endpoint.text());
    Talk client(endpoint, 15s, behind(header));
    CHECK(ends(client) == kClient + " 198.51.100.2:443");
    CHECK(client.ask("x") == "v1 2 x");
  }
}

TEST_CASE("each request of a kept connection has the client's address") {
  const std::string header = GENERATE(kV1, kV2);
  Site site(http_group());
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.send(header) == Outcome::ok);
  for (int i = 0; i < 3; ++i) CHECK(remote(connection) == kClient + "\n");
}

TEST_CASE("a header's pieces may be single bytes, and a request may come in the same segment") {
  Site site(http_group());
  Daemon daemon(site);
  Connection slow(daemon.address());
  for (const char byte : kV2) REQUIRE(slow.send(std::string_view(&byte, 1)) == Outcome::ok);
  CHECK(remote(slow) == kClient + "\n");
  Connection quick(daemon.address());
  CHECK(quick.raw(kV1 + request_text("GET", "/remote", "a")).body == kClient + "\n");
}

TEST_CASE("a header comes before TLS, its handshake in the same segment") {
  const Authority authority;
  Wanted wanted;
  wanted.names = {"localhost"};
  const auto made = authority.issue(wanted);
  Site site(group("'https://127.0.0.1:0'", "    tls: {certificate: a.pem, key: a.key}\n", "probe"));
  std::ofstream(site.root() / "a.pem") << made.chain;
  std::ofstream(site.root() / "a.key") << made.key;
  Daemon daemon(site);
  TlsWish wish{authority.certificate()};
  wish.preamble = GENERATE(kV1, kV2);
  TlsTalk client(daemon.address(), wish);
  CHECK(client.get("/remote") == kClient + "\n");
  CHECK(client.get("/remote") == kClient + "\n");
  wish.preamble.clear();
  CHECK_THROWS(TlsTalk(daemon.address(), wish));
}

TEST_CASE("a connection without a header is closed, counted and told with its own address") {
  Site site(http_group());
  Daemon daemon(site);
  Connection connection(daemon.address());
  const Response answer = connection.raw(request_text("GET", "/", "a"));
  CHECK((answer.outcome == Outcome::eof || answer.outcome == Outcome::reset));
  daemon.wait_for_log("a connection from 127.0.0.1:");
  daemon.wait_for_log("is closed: it does not begin with a PROXY header");
  Connection good(daemon.address());
  REQUIRE(good.send(kV1) == Outcome::ok);
  CHECK(remote(good) == kClient + "\n");
}

TEST_CASE("a proxy that is not named is refused, whatever its header") {
  Site site(http_group("    proxy_protocol_from: [10.0.0.0/8, '::1', unix]\n"));
  Daemon daemon(site);
  Connection connection(daemon.address());
  const Response answer = connection.raw(kV1 + request_text("GET", "/remote", "a"));
  CHECK((answer.outcome == Outcome::eof || answer.outcome == Outcome::reset));
  daemon.wait_for_log("its peer is none of proxy_protocol_from");
}

TEST_CASE("a proxy's own connections have its own address") {
  const std::string header = GENERATE(as<std::string>(), kLocal, "PROXY UNKNOWN\r\n");
  Site site(http_group());
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.send(header) == Outcome::ok);
  // "port N"
  CHECK(remote(connection) == "127.0.0.1:" + connection.local_address().substr(5) + "\n");
}

TEST_CASE("a header that does not come in time ends its connection and no other") {
  Site site(http_group("    limits: {header_timeout: 500ms, max_connections: 2}\n"));
  Daemon daemon(site);
  std::vector<Connection> slow;
  for (int i = 0; i < 6; ++i) {
    slow.emplace_back(daemon.address());
    REQUIRE(slow.back().send(kV1.substr(0, 10)) == Outcome::ok);
  }
  // They have all the room there is, but not for long.
  Connection good(daemon.address());
  REQUIRE(good.send(kV1) == Outcome::ok);
  CHECK(remote(good) == kClient + "\n");
  for (Connection& one : slow) CHECK(one.closed_by_server(20s));
  daemon.wait_for_log("did not come within limits.header_timeout");
}

TEST_CASE("the client's address and half of a header survive reload after reload") {
  Site site(group("'http://127.0.0.1:0', 'text://127.0.0.1:0', 'ws://127.0.0.1:0'"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  Talk upgraded(daemon.address("api", 0), 15s, behind(kV1));
  Talk lines(daemon.address("api", 1), 15s, behind(kV2));
  Talk socket(daemon.address("api", 2), 15s, behind(kV1));
  Talk silent(daemon.address("api", 1));
  Talk half(daemon.address("api", 1));
  half.send_bytes(kV2.substr(0, 20));
  Endpoint http = daemon.address("api", 0);
  Connection half_request(http);
  REQUIRE(half_request.send(kV1 + "GET / HT") == Outcome::ok);
  for (const char* const version : {"v2", "v1", "v2"}) {
    site.install(talk(version), "talk");
    reload(daemon);
    for (Talk* const client : {&upgraded, &lines, &socket})
      CHECK(ends(*client) == kClient + " 198.51.100.2:443");
  }
  half.send_bytes(kV2.substr(20));
  silent.send_bytes(kV1);
  for (Talk* const client : {&half, &silent}) {
    CHECK(ends(*client) == kClient + " 198.51.100.2:443");
    CHECK(client->ask("x") == "v2 2 x");
  }
  CHECK(half_request.raw("TP/1.1\r\nHost: a\r\n\r\n").body == "v2\n");
}

TEST_CASE("a kept HTTP connection has the client's address at each new worker") {
  Site site(http_group());
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.send(kV2) == Outcome::ok);
  CHECK(remote(connection) == kClient + "\n");
  for (int i = 0; i < 3; ++i) {
    site.install(i % 2 == 0 ? probe_v2() : probe_v1());
    reload(daemon);
    CHECK(connection.get("/").body == (i % 2 == 0 ? "v2\n" : "v1\n"));
    CHECK(remote(connection) == kClient + "\n");
  }
  CHECK(connection.connects() == 1);
}

TEST_CASE("connections behind a proxy survive a storm of reloads under load") {
  const std::string listen = GENERATE("text://127.0.0.1:0", "ws://127.0.0.1:0");
  Site site(group("'" + listen + "'"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  TalkLoad load(daemon.address(), 8, behind(kV2));
  load.wait_for_more(100);
  for (int round = 0; round < 4; ++round) {
    site.install(talk(round % 2 == 0 ? "v2" : "v1"), "talk");
    reload(daemon);
    load.wait_for_more(50);
  }
  CHECK(load.stop() == std::vector<std::string>{});
}

TEST_CASE("a probe asks a worker behind a proxy") {
  Site site(http_group("    reload: {probe: /fails_in_v2}\n"));
  Daemon daemon(site);
  reload(daemon);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  site.install(probe_v2());
  const Finished refused = daemon.ctl({"reload"});
  INFO(refused.text());
  CHECK(refused.exit.code == 4);
  CHECK((refused.out + refused.err).find("GET /fails_in_v2 answered 500") != std::string::npos);
}

TEST_CASE("a reload turns PROXY headers on and off for the connections that come then") {
  const std::string plain =
      "groups:\n  api:\n    plugin: probe\n    listen: http://unix:run/a.sock\n    count: 2\n";
  Site site(plain);
  Daemon daemon(site);
  Connection before(daemon.address());
  CHECK(remote(before) == "unix\n");
  site.configure(plain + "    proxy_protocol: true\n");
  reload(daemon);
  CHECK(remote(before) == "unix\n");
  Connection proxied(daemon.address());
  REQUIRE(proxied.send(kV1) == Outcome::ok);
  CHECK(remote(proxied) == kClient + "\n");
  CHECK_FALSE(Connection(daemon.address()).get("/").ok());
  site.configure(plain);
  reload(daemon);
  CHECK(remote(proxied) == kClient + "\n");
  CHECK(Connection(daemon.address()).get("/").ok());
}

TEST_CASE("a stop serves who has just sent a header, and waits for no silent one") {
  Site site(http_group());
  Daemon daemon(site);
  Connection silent(daemon.address());
  REQUIRE(silent.connect() == Outcome::ok);
  daemon.stop();
  CHECK(silent.closed_by_server(20s));
}

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>

#include "stream_server_harness.hpp"
#include "tls_client.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace std::chrono_literals;
using net::tls::Session;

namespace {

const std::shared_ptr<const net::tls::ServerContext>& context() {
  static const auto made = server_context(material_of(issue({"localhost"})));
  return made;
}

TlsClient connect(Serving& serving) {
  std::signal(SIGPIPE, SIG_IGN);
  auto [served, client] = tcp_pair();
  auto session = Session::accept(context(), served.get(), "http/1.1");
  serving.server.serve(std::move(served), {}, nullptr, std::move(session));
  return TlsClient(std::move(client));
}

TlsClient connect(Streaming& serving, const std::string& scheme = "text") {
  std::signal(SIGPIPE, SIG_IGN);
  auto [served, client] = tcp_pair();
  auto session = Session::accept(context(), served.get(), "");
  serving.server.serve(std::move(served), listener_of(scheme), std::move(session));
  return TlsClient(std::move(client));
}

template <class Server>
bool established(Server& serving, TlsClient& client) {
  return serving.until([&] {
    client.go_on();
    return client.session().is_established();
  });
}

template <class Server>
bool gets(Server& serving, TlsClient& client, std::string_view what) {
  return serving.until([&] {
    client.go_on();
    return client.got(what);
  });
}

template <class Server>
bool ends(Server& serving, TlsClient& client) {
  return serving.until([&] {
    client.go_on();
    return client.closed || client.failed;
  });
}

}  // namespace

TEST_CASE("HTTP is served over TLS as without it") {
  Serving serving;
  TlsClient client = connect(serving);
  client.send(get("/1"));
  REQUIRE(gets(serving, client, "\r\n\r\n/1"));
  client.send(get("/2") + get("/3"));
  REQUIRE(gets(serving, client, "\r\n\r\n/3"));
  CHECK(serving.script.requests == std::vector<std::string>{"/1", "/2", "/3"});
  // A body far beyond one read and one record.
  const std::string body(900'000, 'b');
  client.send(post("/body", body));
  REQUIRE(gets(serving, client, "/body" + body));
  CHECK(serving.server.connections() == 1);
  client.end();
  CHECK(serving.until([&] { return serving.server.connections() == 0; }));
}

TEST_CASE("requests that came in one record with others are served without another event") {
  Serving serving;
  TlsClient client = connect(serving);
  std::string all;
  for (int i = 0; i < 4'000; ++i) all += get("/" + std::to_string(i));
  client.send(all);
  REQUIRE(gets(serving, client, "\r\n\r\n/3999"));
  CHECK(serving.script.requests.size() == 4'000);
}

TEST_CASE("an answer behind which the connection ends is followed by close_notify") {
  Serving serving;
  TlsClient client = connect(serving);
  client.send(get("/1", "Connection: close\r\n"));
  REQUIRE(ends(serving, client));
  CHECK(client.closed);
  CHECK(client.got("/1"));
}

TEST_CASE("an answer that is cut ends without close_notify") {
  Serving serving;
  serving.script.on = [&](appserver_exchange exchange, const appserver_http_request&) {
    serving.server.start(exchange, answer_of(""), -1);
    serving.server.write(exchange, "half");
  };
  TlsClient client = connect(serving);
  client.send("GET / HTTP/1.0\r\n\r\n");
  REQUIRE(gets(serving, client, "half"));
  serving.server.cut();
  REQUIRE(ends(serving, client));
  CHECK(client.failed);
}

TEST_CASE("a handshake that does not come is cut at the time of a head") {
  Serving serving;
  Streaming streaming;
  auto [served, client] = tcp_pair();
  auto session = Session::accept(context(), served.get(), "http/1.1");
  serving.server.serve(std::move(served), {}, nullptr, std::move(session));
  auto [other_served, other_client] = tcp_pair();
  session = Session::accept(context(), other_served.get(), "");
  streaming.server.serve(std::move(other_served), listener_of("text"), std::move(session));
  Client silent(std::move(client));
  Client other(std::move(other_client));
  settle(serving.context);
  // A byte now and then buys no time.
  for (int i = 0; i < 9; ++i) {
    silent.send(std::string_view("\x16\x03\x01\x01\x00\x01\x00\x00\xfc", 9)
                    .substr(static_cast<std::size_t>(i), 1));
    serving.pass(100ms);
    streaming.pass(100ms);
  }
  CHECK(serving.server.connections() == 1);
  CHECK(streaming.server.connections() == 1);
  serving.pass(400ms);
  streaming.pass(400ms);
  CHECK(serving.server.connections() == 0);
  CHECK(streaming.server.connections() == 0);
  CHECK(streaming.script.connected.empty());
  CHECK(serving.closes(silent));
  CHECK(streaming.closes(other));
}

TEST_CASE("a client under TLS whose answer is awaited keeps no processor busy, whatever it sent") {
  Serving serving;
  serving.script.watches = true;
  TlsClient client = connect(serving);
  REQUIRE(established(serving, client));
  client.send(get("/later"));
  SECTION("and has said goodbye") {
    client.go_on();
    client.session().say_goodbye();
  }
  SECTION("and has asked for much more") {
    for (int i = 0; i < 4'000; ++i) client.send(get("/next"));
    for (int i = 0; i < 8; ++i) client.go_on();
  }
  REQUIRE(serving.has_seen(1));
  std::size_t turns = 0;
  serving.context.restart();
  for (; turns < 1'000 && serving.context.poll_one() > 0; ++turns) serving.context.restart();
  CHECK(turns < 1'000);
}

TEST_CASE("messages are served over TLS, and the plugin hears of a peer that is through") {
  for (const std::string scheme : {"text", "frame", "tcp"}) {
    Streaming serving;
    TlsClient client = connect(serving, scheme);
    REQUIRE(established(serving, client));
    REQUIRE(serving.until([&] { return serving.script.connected.size() == 1; }));
    const std::string message = scheme == "frame" ? std::string("\0\0\0\x09hello", 9) : "hello\n";
    client.send(message);
    REQUIRE(gets(serving, client, message));
    client.end();
    REQUIRE(serving.until([&] { return serving.script.ended.size() == 1; }));
    CHECK(serving.script.ended.front().reason == APPSERVER_CLOSED_BY_PEER);
  }
}

TEST_CASE("a peer that ends without close_notify is told from one that closes") {
  Streaming serving;
  TlsClient client = connect(serving);
  client.send("hello\n");
  REQUIRE(gets(serving, client, "hello\n"));
  ::shutdown(client.fd(), SHUT_WR);
  REQUIRE(serving.until([&] { return serving.script.ended.size() == 1; }));
  CHECK(serving.script.ended.front().reason == APPSERVER_CLOSED_FAILURE);
  CHECK(serving.script.ended.front().text ==
        "the peer ended the connection without TLS's close_notify");
}

TEST_CASE("what a slow TLS client does not take waits, within the limit, and comes in its order") {
  net::StreamLimits limits = small_stream_limits();
  limits.send_buffer = std::size_t{12} << 20;
  Streaming serving(limits);
  std::string all;
  serving.script.on = [&](appserver_connection connection, std::string_view) {
    for (int i = 0;; ++i) {
      const std::string piece = std::to_string(i) + std::string(900, 'p');
      if (serving.server.send(connection, kText, piece) != APPSERVER_OK) break;
      all += piece;
    }
    return net::StreamHandler::Outcome::good;
  };
  TlsClient client = connect(serving, "tcp");
  REQUIRE(established(serving, client));
  client.send("go");
  client.go_on();
  REQUIRE(serving.until([&] { return serving.script.full == 1; }));
  CHECK(all.size() >= limits.send_buffer);
  CHECK(serving.script.drained == 0);
  REQUIRE(serving.until([&] {
    client.go_on();
    return client.received.size() >= all.size();
  }));
  CHECK(client.received == all);
  CHECK(serving.script.drained == 1);
}

TEST_CASE("in a handover a connection under TLS stays and ends politely, while a plain one moves") {
  Serving serving;
  TlsClient secured = connect(serving);
  Client plain = serving.connect();
  secured.send(get("/1"));
  plain.send(get("/1"));
  REQUIRE(gets(serving, secured, "\r\n\r\n/1"));
  REQUIRE(serving.answered(plain, 1));
  TlsClient idle = connect(serving);
  REQUIRE(established(serving, idle));
  TlsClient half = connect(serving);  // its handshake is still to come

  std::vector<net::Handed> given;
  serving.server.hand_over([&](net::Handed handed) { given.push_back(std::move(handed)); });
  CHECK(given.size() == 1);
  secured.send(get("/2"));
  REQUIRE(ends(serving, secured));
  CHECK(secured.got("\r\n\r\n/2"));
  CHECK(secured.got("Connection: close"));
  CHECK(secured.closed);

  half.send(get("/3"));
  REQUIRE(ends(serving, half));
  CHECK(half.got("\r\n\r\n/3"));
  CHECK(half.closed);

  CHECK_FALSE(idle.closed);
  serving.pass(net::HttpServer::kLinger + 300ms);
  REQUIRE(ends(serving, idle));
  CHECK(idle.closed);
  CHECK(serving.until([&] {
    serving.server.tick();
    return serving.server.connections() == 0;
  }));
  CHECK(given.size() == 1);
}

TEST_CASE("in a handover a message connection under TLS ends behind its next answer") {
  Streaming serving;
  serving.script.on_handing = [](appserver_connection) { return std::string("state"); };
  TlsClient secured = connect(serving);
  Client plain = serving.connect();
  secured.send("1\n");
  plain.send("1\n");
  REQUIRE(gets(serving, secured, "1\n"));
  REQUIRE(serving.gets(plain, "1\n"));
  TlsClient half = connect(serving);

  std::vector<net::Handed> given;
  serving.server.hand_over([&](net::Handed handed) { given.push_back(std::move(handed)); });
  CHECK(given.size() == 1);
  secured.send("2\n");
  REQUIRE(ends(serving, secured));
  CHECK(secured.closed);
  CHECK(secured.received == "1\n2\n");
  half.send("3\n");
  REQUIRE(ends(serving, half));
  CHECK(half.closed);
  CHECK(half.received == "3\n");
  CHECK(given.size() == 1);
}

TEST_CASE("new handshakes use a context that replaced another, and open connections go on") {
  Serving serving;
  net::tls::Server server(server_context(material_of(issue({"localhost"}, "old"))));
  const auto join = [&] {
    auto [served, client] = tcp_pair();
    auto session = Session::accept(server.context(), served.get(), "http/1.1");
    serving.server.serve(std::move(served), {}, nullptr, std::move(session));
    return TlsClient(std::move(client));
  };
  TlsClient before = join();
  before.send(get("/1"));
  REQUIRE(gets(serving, before, "\r\n\r\n/1"));
  TlsClient between = join();
  server.replace(server_context(material_of(issue({"localhost"}, "new"))));
  TlsClient after = join();
  after.send(get("/2"));
  REQUIRE(gets(serving, after, "\r\n\r\n/2"));
  CHECK(after.session().facts().peer_subject == "CN=new");
  before.send(get("/3"));
  REQUIRE(gets(serving, before, "\r\n\r\n/3"));
  CHECK(before.session().facts().peer_subject == "CN=old");
  between.send(get("/4"));
  REQUIRE(gets(serving, between, "\r\n\r\n/4"));
  CHECK(between.session().facts().peer_subject == "CN=old");
}

TEST_CASE("handshakes are counted by how they end, and a PROXY header in their place is told") {
  Serving serving;
  Streaming streaming;
  int told = 0;
  const auto tell = [&told](std::string_view, std::string_view) { ++told; };
  serving.server.on_proxy_header(tell);
  streaming.server.on_proxy_header(tell);
  TlsClient good = connect(serving);
  TlsClient other = connect(streaming);
  REQUIRE(established(serving, good));
  REQUIRE(established(streaming, other));
  REQUIRE(serving.until([&] { return serving.page.tls_handshakes.get() == 1; }));
  REQUIRE(streaming.until([&] { return streaming.page.tls_handshakes.get() == 1; }));
  CHECK(told == 0);

  auto [served, client] = tcp_pair();
  auto session = Session::accept(context(), served.get(), "http/1.1");
  serving.server.serve(std::move(served), {}, nullptr, std::move(session));
  Client proxy(std::move(client));
  proxy.send("PROXY TCP4 192.0.2.1 198.51.100.2 5123 443\r\n");
  REQUIRE(serving.closes(proxy));
  CHECK(serving.page.tls_failed.get() == 1);
  CHECK(told == 1);

  auto [other_served, other_client] = tcp_pair();
  session = Session::accept(context(), other_served.get(), "");
  streaming.server.serve(std::move(other_served), listener_of("frame"), std::move(session));
  Client nonsense(std::move(other_client));
  nonsense.send("GET / HTTP/1.0\r\n\r\n");
  REQUIRE(streaming.closes(nonsense));
  CHECK(streaming.page.tls_failed.get() == 1);
  CHECK(serving.page.tls_handshakes.get() == 1);
  CHECK(told == 1);
}

TEST_CASE("a PROXY header before frames is told, as it is no frame") {
  Streaming streaming;
  int told = 0;
  streaming.server.on_proxy_header([&told](std::string_view, std::string_view) { ++told; });
  Client client = streaming.connect_tcp("frame");
  client.send("PROXY TCP4 192.0.2.1 198.51.100.2 5123 443\r\n");
  REQUIRE(streaming.closes(client));
  CHECK(told == 1);
}

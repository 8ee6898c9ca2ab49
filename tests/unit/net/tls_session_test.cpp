#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <string>

#include "net/tls/session.hpp"
#include "tls_client.hpp"

using namespace appserver;
using namespace appserver::test;
using net::tls::Outcome;
using net::tls::Session;

namespace {

// A client and a server at the two ends of a socket, driven in turn.
struct Pair {
  explicit Pair(const std::shared_ptr<const net::tls::ServerContext>& context,
                const net::tls::ClientRules& rules = trusting(),
                const std::string& host = "localhost", std::string_view alpn = "")
      : sockets(tcp_pair()),
        server(Session::accept(context, sockets.first.get(), alpn)),
        client(std::move(sockets.second), rules, host) {
    std::signal(SIGPIPE, SIG_IGN);
  }

  // Until both are through, or one says no.
  bool shake_hands() {
    bool refused = false;
    soon([&] {
      client.go_on();
      // Its client is told by an alert.
      if (refused) return client.failed;
      if (!server->is_established()) refused = server->handshake() == Outcome::failed;
      return client.failed || (server->is_established() && client.session().is_established());
    });
    return !refused && !client.failed && server->is_established();
  }

  std::string server_reads(std::size_t size) {
    std::string all;
    soon([&] {
      client.go_on();
      std::array<char, 5'000> buffer;
      std::size_t got = 0;
      const Outcome outcome = server->read(buffer, got);
      all.append(buffer.data(), got);
      return outcome == Outcome::failed || outcome == Outcome::ended || all.size() >= size;
    });
    return all;
  }

  std::pair<os::Fd, os::Fd> sockets;
  std::unique_ptr<Session> server;
  TlsClient client;
};

std::string common_name_served(const std::shared_ptr<const net::tls::ServerContext>& context,
                               const std::string& host) {
  net::tls::ClientRules rules = trusting();
  rules.verify = true;
  Pair pair(context, rules, host);
  if (!pair.shake_hands()) return "refused: " + pair.client.why();
  return pair.client.session().facts().peer_subject;
}

}  // namespace

TEST_CASE("a session carries bytes both ways and says how it is protected") {
  Pair pair(server_context(material_of(issue({"localhost"}))), trusting(), "localhost");
  REQUIRE(pair.shake_hands());
  CHECK(pair.server->facts().version == "TLSv1.3");
  CHECK(pair.server->facts().cipher.starts_with("TLS_"));
  CHECK(pair.server->facts().server_name == "localhost");
  CHECK(pair.server->facts().alpn.empty());
  CHECK(pair.server->facts().peer_subject.empty());

  const std::string much(300'000, 'x');
  pair.client.send(much);
  CHECK(pair.server_reads(much.size()) == much);
  std::size_t put = 0;
  CHECK(pair.server->write("answer", put) == Outcome::done);
  CHECK(put == 6);
  soon([&] {
    pair.client.go_on();
    return !pair.client.received.empty();
  });
  CHECK(pair.client.received == "answer");
}

TEST_CASE("what is decrypted already is announced, as no event of the socket will") {
  Pair pair(server_context(material_of(issue({"localhost"}))));
  REQUIRE(pair.shake_hands());
  pair.client.send(std::string(1'000, 'x'));
  pair.client.go_on();
  std::array<char, 400> buffer;
  std::size_t got = 0;
  Outcome outcome = Outcome::wants_input;
  soon([&] {
    outcome = pair.server->read(buffer, got);
    return got > 0;
  });
  REQUIRE(outcome == Outcome::done);
  CHECK(got == 400);
  CHECK(pair.server->has_input());
  CHECK(pair.server->read(buffer, got) == Outcome::done);
  CHECK(pair.server->has_input());
  CHECK(pair.server->read(buffer, got) == Outcome::done);
  CHECK(got == 200);
  CHECK_FALSE(pair.server->has_input());
  CHECK(pair.server->read(buffer, got) == Outcome::wants_input);
}

TEST_CASE("a write that the socket does not take goes on with the same bytes, wherever they lie") {
  Pair pair(server_context(material_of(issue({"localhost"}))));
  REQUIRE(pair.shake_hands());
  std::string much;
  for (int i = 0; much.size() < 8'000'000; ++i) much += std::to_string(i);
  std::size_t sent = 0;
  bool waited = false;
  const bool all = soon([&] {
    const std::string moved = much.substr(sent);
    std::size_t put = 0;
    const Outcome outcome = pair.server->write(moved, put);
    REQUIRE((outcome == Outcome::done || outcome == Outcome::wants_output));
    waited = waited || outcome == Outcome::wants_output;
    sent += put;
    return soon([&] {
             pair.client.go_on();
             return pair.client.received.size() >= sent;
           }) &&
           sent == much.size();
  });
  CHECK(all);
  CHECK(waited);
  CHECK(pair.client.received == much);
}

TEST_CASE("close_notify ends a session, and an end without it is a failure") {
  const auto context = server_context(material_of(issue({"localhost"})));
  std::array<char, 100> buffer;
  std::size_t got = 0;
  {
    Pair pair(context);
    REQUIRE(pair.shake_hands());
    pair.server->say_goodbye();
    soon([&] {
      pair.client.go_on();
      return pair.client.closed || pair.client.failed;
    });
    INFO(pair.client.why());
    CHECK_FALSE(pair.client.failed);
    CHECK(pair.client.closed);
    CHECK(pair.server->write("more", got) == Outcome::failed);
  }
  Pair pair(context);
  REQUIRE(pair.shake_hands());
  ::shutdown(pair.client.fd(), SHUT_WR);
  Outcome outcome = Outcome::wants_input;
  soon([&] {
    outcome = pair.server->read(buffer, got);
    return outcome != Outcome::wants_input;
  });
  CHECK(outcome == Outcome::failed);
  CHECK(pair.server->why() == "the peer ended the connection without TLS's close_notify");
}

TEST_CASE("the name that a client asks for chooses the certificate") {
  certificates::Material material;
  for (const auto& [name, common] :
       {std::pair("first.test", "first"), std::pair("second.test", "second"),
        std::pair("*.wild.test", "wild")}) {
    const Made made = issue({name}, common);
    material.identities.push_back({made.chain, made.key});
  }
  const auto context = server_context(material);
  CHECK(common_name_served(context, "first.test") == "CN=first");
  CHECK(common_name_served(context, "second.test") == "CN=second");
  CHECK(common_name_served(context, "SECOND.test") == "CN=second");
  CHECK(common_name_served(context, "a.wild.test") == "CN=wild");
  // A wildcard is one label; the first certificate is for all that have none, and a client that
  // looks finds that it is not for them.
  for (const char* const other : {"a.b.wild.test", "wild.test", "unknown.test"}) {
    CHECK(common_name_served(context, other) ==
          "refused: the certificate of the peer is refused: hostname mismatch");
  }
}

TEST_CASE("a client verifies whom it speaks with") {
  const auto context = server_context(material_of(issue({"localhost", "IP:127.0.0.1"})));
  CHECK(common_name_served(context, "localhost") == "CN=test");
  CHECK(common_name_served(context, "127.0.0.1") == "CN=test");
  CHECK(common_name_served(context, "127.0.0.2") ==
        "refused: the certificate of the peer is refused: IP address mismatch");

  const Authority other("Another Authority");
  net::tls::ClientRules rules;
  rules.authorities = other.certificate();
  Pair stranger(context, rules);
  CHECK_FALSE(stranger.shake_hands());
  CHECK(stranger.client.why().starts_with("the certificate of the peer is refused: unable to get"));

  rules = {};
  rules.verify = false;
  Pair careless(context, rules, "whatever.test");
  CHECK(careless.shake_hands());

  CHECK_THROWS_WITH(Session::connect(std::make_shared<const net::tls::ClientContext>(trusting()),
                                     careless.client.fd(), ""),
                    "a TLS client needs the name of its host");
}

TEST_CASE("a client's certificate is asked for, and shown to whoever asks") {
  certificates::Material material = material_of(issue({"localhost"}));
  material.client_authorities = authority().certificate();
  net::tls::ServerRules rules;
  rules.client_certificates = net::tls::ClientCertificates::required;
  const auto required = server_context(material, rules);
  rules.client_certificates = net::tls::ClientCertificates::optional;
  const auto optional = server_context(material, rules);

  const Made alice = issue({}, "alice");
  net::tls::ClientRules as_alice = trusting();
  as_alice.identity = {alice.chain, alice.key};
  for (const auto& context : {required, optional}) {
    Pair pair(context, as_alice);
    REQUIRE(pair.shake_hands());
    CHECK(pair.server->facts().peer_subject == "CN=alice");
    CHECK(pair.server->facts().peer_fingerprint == sha256_of(alice.chain));
  }

  Pair nobody(optional);
  REQUIRE(nobody.shake_hands());
  CHECK(nobody.server->facts().peer_subject.empty());

  Pair refused(required);
  CHECK_FALSE(refused.shake_hands());
  CHECK(refused.server->why() == "TLS: peer did not return a certificate");

  const Made mallory = Authority("Elsewhere").issue({{}, "mallory"});
  net::tls::ClientRules as_mallory = trusting();
  as_mallory.identity = {mallory.chain, mallory.key};
  for (const auto& context : {required, optional}) {
    Pair pair(context, as_mallory);
    CHECK_FALSE(pair.shake_hands());
    CHECK(pair.server->why().starts_with("the certificate of the peer is refused: unable to get"));
  }
}

TEST_CASE("only http/1.1 is agreed on where HTTP is served") {
  const auto context = server_context(material_of(issue({"localhost"})));
  net::tls::ClientRules rules = trusting();
  rules.alpn = {"h2", "http/1.1"};
  Pair pair(context, rules, "localhost", "http/1.1");
  REQUIRE(pair.shake_hands());
  CHECK(pair.server->facts().alpn == "http/1.1");
  CHECK(pair.client.session().facts().alpn == "http/1.1");

  rules.alpn = {"h2"};
  Pair refused(context, rules, "localhost", "http/1.1");
  CHECK_FALSE(refused.shake_hands());

  Pair other(context, rules, "localhost", "");
  REQUIRE(other.shake_hands());
  CHECK(other.server->facts().alpn.empty());
}

TEST_CASE("versions before TLS 1.2 are refused, and 1.2 where 1.3 is asked for") {
  const auto material = material_of(issue({"localhost"}));
  net::tls::ServerRules rules;
  const auto try_version = [&](int version) {
    const auto context = server_context(material, rules);
    auto sockets = tcp_pair();
    const auto server = Session::accept(context, sockets.first.get(), "");
    const net::tls::SslContext raw(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(raw.get(), 0);
    SSL_CTX_set_min_proto_version(raw.get(), version);
    SSL_CTX_set_max_proto_version(raw.get(), version);
    SSL_CTX_set_cipher_list(raw.get(), "ALL:@SECLEVEL=0");
    const net::tls::Ssl client(SSL_new(raw.get()));
    SSL_set_fd(client.get(), sockets.second.get());
    soon([&] {
      SSL_connect(client.get());
      return server->handshake() == Outcome::failed || server->is_established();
    });
    return server->is_established() ? server->facts().version : server->why();
  };
  CHECK(try_version(TLS1_1_VERSION) == "TLS: unsupported protocol");
  CHECK(try_version(TLS1_VERSION) == "TLS: unsupported protocol");
  CHECK(try_version(TLS1_2_VERSION) == "TLSv1.2");
  CHECK(try_version(TLS1_3_VERSION) == "TLSv1.3");
  rules.min_version = net::tls::MinVersion::tls1_3;
  CHECK(try_version(TLS1_2_VERSION) == "TLS: unsupported protocol");
  CHECK(try_version(TLS1_3_VERSION) == "TLSv1.3");
}

TEST_CASE("a context says what is wrong with its material") {
  const Made one = issue({"localhost"});
  const Made other = issue({"localhost"});
  CHECK_THROWS_WITH(server_context(material_of({one.chain, other.key})),
                    "the key is not that of the certificate: key values mismatch");
  CHECK_THROWS_WITH(server_context(material_of({"", one.key})),
                    "has no certificate in PEM (BEGIN CERTIFICATE)");
  CHECK_THROWS_WITH(server_context(material_of({one.chain, "nothing"})),
                    "has no private key in PEM (BEGIN PRIVATE KEY)");
  CHECK_THROWS_WITH(server_context(certificates::Material{}), "no certificate is given");
}

TEST_CASE("what is no TLS is refused in words") {
  const auto context = server_context(material_of(issue({"localhost"})));
  auto sockets = tcp_pair();
  const auto server = Session::accept(context, sockets.first.get(), "http/1.1");
  Client client(std::move(sockets.second));
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  Outcome outcome = Outcome::wants_input;
  soon([&] {
    outcome = server->handshake();
    return outcome != Outcome::wants_input;
  });
  CHECK(outcome == Outcome::failed);
  CHECK(server->why() == "TLS: http request");
}

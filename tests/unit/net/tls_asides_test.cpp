// What a peer of TLS sends beside its data: how much of it is taken at once, and in a row.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/tls/session.hpp"
#include "tls_client.hpp"

using namespace appserver;
using namespace appserver::test;
using net::tls::Outcome;
using net::tls::Session;

namespace {

int in_kernel(int socket) {
  int size = 0;
  REQUIRE(::ioctl(socket, FIONREAD, &size) == 0);
  return size;
}

// An end that does with OpenSSL what no Session does, and writes it down before it is sent.
class Hostile {
 public:
  Hostile(SSL_CTX* context, os::Fd socket, bool is_client)
      : ssl_(SSL_new(context)), socket_(std::move(socket)) {
    REQUIRE(SSL_set_fd(ssl_.get(), socket_.get()) == 1);
    is_client ? SSL_set_connect_state(ssl_.get()) : SSL_set_accept_state(ssl_.get());
  }

  bool shake_hands(Session& other) {
    return soon([&] {
      ERR_clear_error();
      SSL_do_handshake(ssl_.get());
      if (!other.is_established()) other.handshake();
      return SSL_is_init_finished(ssl_.get()) == 1 && other.is_established();
    });
  }
  void write_down() { SSL_set0_wbio(ssl_.get(), BIO_new(BIO_s_mem())); }
  void update_keys(int times, int type = SSL_KEY_UPDATE_NOT_REQUESTED) {
    for (int i = 0; i < times; ++i) {
      REQUIRE(SSL_key_update(ssl_.get(), type) == 1);
      REQUIRE(SSL_do_handshake(ssl_.get()) == 1);
    }
  }
  void data(std::string_view text) {
    REQUIRE(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) ==
            static_cast<int>(text.size()));
  }
  // What is written down, as far as the socket takes it.
  std::size_t send() {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &bytes);
    const auto put = ::send(socket_.get(), bytes + sent_, static_cast<std::size_t>(size) - sent_,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0) sent_ += static_cast<std::size_t>(put);
    return static_cast<std::size_t>(size) - sent_;
  }

  std::string read() {
    std::array<char, 100> data;
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), data.data(), static_cast<int>(data.size()));
    return std::string(data.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  }

  SSL* ssl() { return ssl_.get(); }

 private:
  net::tls::Ssl ssl_;
  os::Fd socket_;
  std::size_t sent_ = 0;
};

const std::shared_ptr<const net::tls::ServerContext>& server_side() {
  static const auto made = server_context(material_of(issue({"localhost"})));
  return made;
}
const std::shared_ptr<const net::tls::ClientContext>& client_side() {
  static const auto made = std::make_shared<const net::tls::ClientContext>(trusting());
  return made;
}

// A session and the hostile other end of it, which is the client of a server's and the other way
// round.
struct Attack {
  explicit Attack(bool session_serves)
      : Attack(session_serves, session_serves ? client_side()->get() : server_side()->first()) {}
  Attack(bool session_serves, SSL_CTX* context) : Attack(session_serves, context, tcp_pair()) {}
  Attack(bool session_serves, SSL_CTX* context, std::pair<os::Fd, os::Fd> sockets)
      : socket(std::move(sockets.first)),
        session(session_serves ? Session::accept(server_side(), socket.get(), "")
                               : Session::connect(client_side(), socket.get(), "localhost")),
        peer(context, std::move(sockets.second), session_serves) {
    std::signal(SIGPIPE, SIG_IGN);
    REQUIRE(peer.shake_hands(*session));
    // Tickets that came behind the handshake.
    std::array<char, 10> none;
    std::size_t got = 0;
    while (in_kernel(socket.get()) > 0 || session->has_input()) session->read(none, got);
    peer.write_down();
  }

  // One read, and what it took from the kernel.
  Outcome read(std::size_t& got) {
    const int before = in_kernel(socket.get());
    const Outcome outcome = session->read(buffer, got);
    taken = before - in_kernel(socket.get());
    return outcome;
  }

  // What the other end reads of it.
  std::string says(std::string_view text) {
    std::size_t put = 0;
    REQUIRE(session->write(text, put) == Outcome::done);
    std::string come;
    soon([&] {
      come += peer.read();
      return come.size() >= text.size();
    });
    return come;
  }

  os::Fd socket;
  std::unique_ptr<Session> session;
  Hostile peer;
  std::array<char, 65'536> buffer{};
  int taken = 0;
};

}  // namespace

TEST_CASE("a peer of TLS that sends nothing but key updates is cut after a bounded number") {
  Attack attack(GENERATE(true, false));
  attack.peer.update_keys(40'000);
  attack.peer.send();
  REQUIRE(soon([&] { return in_kernel(attack.socket.get()) > 100'000; }));
  std::size_t got = 0;
  CHECK(attack.read(got) == Outcome::failed);
  CHECK(attack.session->why() ==
        "the peer sent more than 32 messages of TLS in a row without any data");
  // No more than OpenSSL reads ahead at once.
  CHECK(attack.taken < 20'000);
  CHECK(attack.session->has_input());
  CHECK(attack.read(got) == Outcome::failed);
}

TEST_CASE("key updates between data are taken, some at a time, and no byte is left behind") {
  Attack attack(GENERATE(true, false));
  std::string sent;
  for (int i = 0; i < 1'000; ++i) {
    // A server's tickets were some, too.
    attack.peer.update_keys(static_cast<int>(Session::kMostAside) - 4);
    attack.peer.data(std::to_string(i));
    sent += std::to_string(i);
  }
  std::string come;
  int steps = 0;
  int most = 0;
  const bool all = soon([&] {
    const std::size_t left = attack.peer.send();
    // As a loop does: an event of the socket, or what the session says that it holds.
    if (in_kernel(attack.socket.get()) > 0 || attack.session->has_input()) {
      std::size_t got = 0;
      const Outcome outcome = attack.read(got);
      INFO(attack.session->why());
      REQUIRE((outcome == Outcome::done || outcome == Outcome::wants_input));
      come.append(attack.buffer.data(), got);
      most = std::max(most, attack.taken);
      ++steps;
    }
    return left == 0 && come.size() >= sent.size();
  });
  CHECK(all);
  CHECK(come == sent);
  CHECK(steps >= 500);
  CHECK(most < 20'000);
}

TEST_CASE("key updates that ask for an answer are no longer read where the answers are not") {
  Attack attack(true);
  const int little = 4'608;
  REQUIRE(::setsockopt(attack.socket.get(), SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)) == 0);
  std::string sent;
  for (int i = 0; i < 1'000; ++i) {
    attack.peer.update_keys(static_cast<int>(Session::kMostAside), SSL_KEY_UPDATE_REQUESTED);
    attack.peer.data("x");
    sent += "x";
  }
  std::string come;
  const auto go_on = [&] {
    attack.peer.send();
    std::size_t got = 0;
    const Outcome outcome = attack.read(got);
    INFO(attack.session->why());
    REQUIRE(outcome != Outcome::failed);
    come.append(attack.buffer.data(), got);
    return outcome;
  };
  REQUIRE(soon([&] { return go_on() == Outcome::wants_output; }));
  CHECK(attack.session->input_wants_output());
  CHECK(come.size() < sent.size());
  // Whatever more comes, none of it is read.
  for (int i = 0; i < 100; ++i) {
    CHECK(go_on() == Outcome::wants_output);
    CHECK(attack.taken == 0);
  }
  CHECK(soon([&] {
    attack.peer.read();
    go_on();
    return come.size() >= sent.size();
  }));
  CHECK(come == sent);
  CHECK(attack.says("answer") == "answer");
}

TEST_CASE("a session is never negotiated anew, and takes no data before its handshake is done") {
  CHECK(SSL_CTX_get_max_early_data(server_side()->first()) == 0);
  net::tls::SslContext old(SSL_CTX_new(TLS_client_method()));
  REQUIRE(SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION) == 1);
  Attack attack(true, old.get());
  REQUIRE(attack.session->facts().version == "TLSv1.2");
  REQUIRE(SSL_renegotiate(attack.peer.ssl()) == 1);
  SSL_do_handshake(attack.peer.ssl());
  REQUIRE(attack.peer.send() == 0);
  std::size_t got = 0;
  REQUIRE(soon([&] {
    REQUIRE(attack.read(got) == Outcome::wants_input);
    attack.peer.read();
    return ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION;
  }));
}

// The client's end of a TLS connection, over a real socket and without a loop.
#pragma once

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "certificate_maker.hpp"
#include "http_server_harness.hpp"
#include "net/tls/session.hpp"

namespace appserver::test {

// Until `state` says so; false where that takes too long.
template <typename State>
bool soon(State&& state) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!state()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

inline const Authority& authority() {
  static const Authority made;
  return made;
}

inline certificates::Material material_of(const Made& made) {
  certificates::Material material;
  material.identities.push_back({made.chain, made.key});
  return material;
}

inline Made issue(std::vector<std::string> names, std::string common_name = "test") {
  Wanted wanted;
  wanted.names = std::move(names);
  wanted.common_name = std::move(common_name);
  return authority().issue(wanted);
}

inline std::shared_ptr<const net::tls::ServerContext> server_context(
    const certificates::Material& material, const net::tls::ServerRules& rules = {}) {
  return std::make_shared<const net::tls::ServerContext>(material, rules);
}

inline net::tls::ClientRules trusting() {
  net::tls::ClientRules rules;
  rules.authorities = authority().certificate();
  return rules;
}

class TlsClient {
 public:
  explicit TlsClient(os::Fd socket, const net::tls::ClientRules& rules = trusting(),
                     const std::string& host = "localhost")
      : socket_(std::move(socket)),
        session_(net::tls::Session::connect(std::make_shared<const net::tls::ClientContext>(rules),
                                            socket_.get(), host)) {}

  // One step of whatever is due.
  void go_on() {
    using net::tls::Outcome;
    if (failed || closed) return;
    if (!session_->is_established()) {
      if (session_->handshake() == Outcome::failed) failed = true;
      if (!session_->is_established()) return;
    }
    if (!waiting_.empty()) {
      std::size_t put = 0;
      if (session_->write(waiting_, put) == Outcome::failed) failed = true;
      waiting_.erase(0, put);
    }
    std::array<char, 65'536> buffer;
    std::size_t got = 0;
    const Outcome outcome = session_->read(buffer, got);
    received.append(buffer.data(), got);
    if (outcome == Outcome::ended) closed = true;
    if (outcome == Outcome::failed) failed = true;
  }

  void send(std::string_view data) { waiting_.append(data); }
  bool got(std::string_view what) const { return received.find(what) != std::string::npos; }
  net::tls::Session& session() { return *session_; }
  int fd() const { return socket_.get(); }
  void end() {
    session_->say_goodbye();
    socket_.reset();
    closed = true;
  }
  const std::string& why() const { return session_->why(); }

  std::string received;
  bool closed = false;  // by close_notify
  bool failed = false;  // in any other way

 private:
  os::Fd socket_;
  std::unique_ptr<net::tls::Session> session_;
  std::string waiting_;
};

}  // namespace appserver::test

// The beginning of a link between daemons: TLS where it is wanted, then the Handshake. All that a
// stranger can reach.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "gateway/handshake.hpp"
#include "gateway/link_keys.hpp"
#include "gateway/link_socket.hpp"
#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::gateway {

// On the loop's thread. Lives until it is over, whoever else holds it.
class LinkOpening final : public std::enable_shared_from_this<LinkOpening> {
 public:
  static constexpr std::chrono::seconds kPatience{5};

  // Called once, later, unless abandon() comes first. `socket` is null where it has failed; then
  // `why` says so, of the peer: "it does not ...".
  using Done = std::function<void(LinkSocket* socket, const std::string& why)>;

  // A connected socket. Throws where the loop cannot watch it.
  LinkOpening(boost::asio::io_context& context, os::Fd socket, Role own, LinkKeysPtr keys);
  LinkOpening(const LinkOpening&) = delete;
  LinkOpening& operator=(const LinkOpening&) = delete;

  // For the TLS session that is to be given to start().
  int handle() { return socket_.handle(); }
  // Without TLS where `tls` is null.
  void start(std::unique_ptr<net::tls::Session> tls, Done done);
  void abandon();

 private:
  void shake_hands();
  void read();
  void go_on();
  void write();
  void finish(const std::string& why);

  LinkSocket socket_;
  LinkKeysPtr keys_;
  Handshake handshake_;
  boost::asio::steady_timer deadline_;
  Done done_;
  std::array<char, Handshake::kMost> buffer_{};
  std::string received_;
  std::string out_;
  bool over_ = false;
};

}  // namespace appserver::gateway

// Sockets of a test that waits for them: a server that it plays, and what goes over its
// connections.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace appserver::integration {

// No call of it waits longer than twenty seconds.
inline void be_patient(const os::Fd& socket) {
  const timeval patience{20, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

// A listener that the test plays; it may go and come back at its port.
class Peer {
 public:
  // `buffer`: what the kernel holds of what has come on its connections; 0: as it likes.
  explicit Peer(int buffer = 0) : buffer_(buffer) { listen(0); }
  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void leave() { listener_.reset(); }
  void come_back() { listen(port_); }
  os::Fd accept() {
    os::Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(socket);
    be_patient(socket);
    return socket;
  }

 private:
  void listen(std::uint16_t port) {
    listener_ = os::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    auto* const any = static_cast<sockaddr*>(static_cast<void*>(&address));
    socklen_t size = sizeof(address);
    if (buffer_ > 0)
      ::setsockopt(listener_.get(), SOL_SOCKET, SO_RCVBUF, &buffer_, sizeof(buffer_));
    REQUIRE(::bind(listener_.get(), any, size) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    REQUIRE(::getsockname(listener_.get(), any, &size) == 0);
    port_ = ntohs(address.sin_port);
    be_patient(listener_);
  }

  int buffer_;
  os::Fd listener_;
  std::uint16_t port_ = 0;
};

inline void send_all(const os::Fd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    REQUIRE(put > 0);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
}

// Up to the end, where there is one before.
inline std::string read_all(const os::Fd& socket, std::size_t most = std::string::npos) {
  std::string all;
  std::string part(65'536, '\0');
  while (all.size() < most) {
    const ssize_t got =
        ::recv(socket.get(), part.data(), std::min(part.size(), most - all.size()), 0);
    REQUIRE(got >= 0);
    if (got == 0) break;
    all.append(part, 0, static_cast<std::size_t>(got));
  }
  return all;
}

}  // namespace appserver::integration

// A server of a few lines on a real socket: a thread of its own that does what a test wrote down.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::test {

// Blocking, each wait at most twenty seconds. The destructor closes it.
class Accepted final {
 public:
  Accepted(os::Fd socket, const std::shared_ptr<const net::tls::ServerContext>& tls)
      : socket_(std::move(socket)) {
    const timeval most{20, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
    // What was sent is on its way, whatever comes: a reset takes along what the kernel holds back.
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (tls == nullptr || !socket_) return;
    tls_ = net::tls::Session::accept(tls, socket_.get(), "http/1.1");
    secured_ = tls_->handshake() == net::tls::Outcome::done;
  }

  // A head and as much body as it announces; what came where the peer ends before.
  std::string request() {
    std::string::size_type end = std::string::npos;
    while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return std::exchange(unread_, {});
    }
    std::size_t size = end + 4;
    const auto length = unread_.find("Content-Length: ");
    if (length < end) size += std::stoul(unread_.substr(length + 16));
    while (unread_.size() < size) {
      if (!more()) return std::exchange(unread_, {});
    }
    std::string whole = unread_.substr(0, size);
    unread_.erase(0, size);
    return whole;
  }

  // A head without its body.
  std::string head() {
    std::string::size_type end = std::string::npos;
    while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return std::exchange(unread_, {});
    }
    std::string whole = unread_.substr(0, end + 4);
    unread_.erase(0, end + 4);
    return whole;
  }
  // All up to and with it; what has come where the peer ends before.
  std::string until(std::string_view end) {
    std::string::size_type at = std::string::npos;
    while ((at = unread_.find(end)) == std::string::npos) {
      if (!more()) return std::exchange(unread_, {});
    }
    std::string whole = unread_.substr(0, at + end.size());
    unread_.erase(0, at + end.size());
    return whole;
  }
  // At least so many bytes; fewer where the peer ends before.
  std::string bytes(std::size_t size) {
    while (unread_.size() < size && more()) continue;
    return std::exchange(unread_, {});
  }

  // False: the peer takes no more.
  bool send(std::string_view data) {
    while (!data.empty()) {
      std::size_t put = 0;
      if (tls_) {
        if (tls_->write(data, put) != net::tls::Outcome::done) return false;
      } else {
        const ssize_t sent = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        put = static_cast<std::size_t>(sent);
      }
      data.remove_prefix(put);
    }
    return true;
  }

  // The same without reading what it sends. False: the peer does not end it.
  bool wait_for_end_unread() {
    pollfd end{socket_.get(), POLLRDHUP, 0};
    return ::poll(&end, 1, 20'000) == 1;
  }
  // Until the peer ends it.
  void wait_for_end() {
    while (more()) unread_.clear();
  }

 private:
  bool more() {
    if (tls_ && !secured_) return false;
    char part[4096];
    std::size_t got = 0;
    if (tls_) {
      if (tls_->read(part, got) != net::tls::Outcome::done) return false;
    } else {
      const ssize_t came = ::recv(socket_.get(), part, sizeof(part), 0);
      if (came <= 0) return false;
      got = static_cast<std::size_t>(came);
    }
    unread_.append(part, got);
    return true;
  }

  os::Fd socket_;
  std::unique_ptr<net::tls::Session> tls_;
  bool secured_ = false;
  std::string unread_;
};

class ScriptedServer final {
 public:
  using Script = std::function<void(ScriptedServer&)>;

  explicit ScriptedServer(Script script,
                          std::shared_ptr<const net::tls::ServerContext> tls = nullptr)
      : tls_(std::move(tls)) {
    listener_ = os::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = static_cast<sockaddr*>(static_cast<void*>(&address));
    socklen_t size = sizeof(address);
    if (::bind(listener_.get(), any, size) != 0 || ::listen(listener_.get(), 128) != 0 ||
        ::getsockname(listener_.get(), any, &size) != 0)
      throw std::runtime_error("no listener");
    port_ = ntohs(address.sin_port);
    const timeval most{20, 0};
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    if (script) thread_ = std::thread([this, script = std::move(script)] { script(*this); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }

  std::string port() const { return std::to_string(port_); }
  std::string url(std::string_view target = "/") const {
    return std::string(tls_ ? "https" : "http") + "://127.0.0.1:" + port() + std::string(target);
  }

  Accepted accept() {
    os::Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket) {
      const std::lock_guard lock(mutex_);
      ++accepted_;
    }
    return Accepted(std::move(socket), tls_);
  }
  // For the test: what its script has seen.
  void note(std::string what) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(what));
  }
  std::vector<std::string> notes() const {
    const std::lock_guard lock(mutex_);
    return notes_;
  }
  std::size_t accepted() const {
    const std::lock_guard lock(mutex_);
    return accepted_;
  }

 private:
  std::shared_ptr<const net::tls::ServerContext> tls_;
  os::Fd listener_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> notes_;
  std::size_t accepted_ = 0;
  std::thread thread_;
};

}  // namespace appserver::test

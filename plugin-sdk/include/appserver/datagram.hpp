// Datagrams of udp:// listeners: what a plugin does with them.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/udp.h>

#include <appserver/detail/text.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace appserver {

// Where datagrams to a client go, leaving from the address where its own came in. A value: copy it
// and keep it as long as the worker lives. Loop thread only (Worker::post brings work to the loop).
class Peer {
 public:
  // Nobody.
  Peer() = default;
  Peer(const appserver_udp_host* host, appserver_worker* worker,
       const appserver_udp_peer& address) noexcept
      : host_(host), worker_(worker), address_(address) {}

  explicit operator bool() const noexcept { return host_ != nullptr; }

  // Sends one datagram. False: the kernel did not take it (its buffer is full, no route leads
  // there), or this is nobody. Throws std::invalid_argument for more than a datagram can hold, or
  // off the loop.
  bool send(std::string_view data) const {
    if (host_ == nullptr) return false;
    const std::int32_t result = host_->send(worker_, &address_, detail::str(data));
    if (result == APPSERVER_INVALID) {
      throw std::invalid_argument(
          "Peer::send: more than a datagram can hold (65507 bytes over IPv4), or not called on the "
          "loop");
    }
    return result == APPSERVER_OK;
  }

 private:
  friend class PendingReply;

  const appserver_udp_host* host_ = nullptr;
  appserver_worker* worker_ = nullptr;
  appserver_udp_peer address_{};
};

// An answer that is still to come: while there is one, a worker that drains waits for it, at most
// until drain_timeout. Loop thread only, its end included.
class PendingReply {
 public:
  PendingReply() = default;
  // Throws std::runtime_error where the host's bound is reached.
  explicit PendingReply(const Peer& peer) : peer_(peer) {
    if (peer_.host_ != nullptr && peer_.host_->hold(peer_.worker_) != APPSERVER_OK) {
      peer_ = {};
      throw std::runtime_error("PendingReply: too many replies are pending, or not on the loop");
    }
  }
  PendingReply(PendingReply&& other) noexcept : peer_(std::exchange(other.peer_, {})) {}
  PendingReply& operator=(PendingReply&& other) noexcept {
    if (this != &other) {
      drop();
      peer_ = std::exchange(other.peer_, {});
    }
    return *this;
  }
  ~PendingReply() { drop(); }

  // As Peer::send; more than once, if the protocol has it so.
  bool send(std::string_view data) const { return peer_.send(data); }
  // Nothing follows.
  void drop() noexcept {
    const Peer peer = std::exchange(peer_, {});
    if (peer.host_ != nullptr) peer.host_->release(peer.worker_);
  }

 private:
  Peer peer_;
};

// What on_datagram gets; valid during the hook.
class Datagram {
 public:
  Datagram(const appserver_udp_host* host, appserver_worker* worker,
           const appserver_datagram& raw) noexcept
      : raw_(raw), peer_(host, worker, raw.peer) {}
  Datagram(const Datagram&) = delete;
  Datagram& operator=(const Datagram&) = delete;

  // May be empty: a datagram without data is one, too.
  std::string_view data() const noexcept { return detail::view(raw_.data); }
  // It was longer than limits.max_message, and data() is its beginning.
  bool truncated() const noexcept { return raw_.truncated != 0; }
  // "192.0.2.1:5123" or "[2001:db8::1]:5123".
  std::string_view remote() const noexcept { return detail::view(raw_.remote); }
  // As the configuration has it: "udp://0.0.0.0:53".
  std::string_view listener() const noexcept { return detail::view(raw_.listener); }

  // As Peer::send.
  bool reply(std::string_view data) const { return peer_.send(data); }
  // To send to later, or again and again; nobody waits for it.
  const Peer& peer() const noexcept { return peer_; }
  // The answer comes later, and a reload waits for it. As PendingReply's constructor.
  PendingReply defer() const { return PendingReply(peer_); }

 private:
  const appserver_datagram& raw_;
  Peer peer_;
};

}  // namespace appserver

#include "net/datagram_server.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "net/datagram_peer.hpp"
#include "net/datagram_socket.hpp"
#include "os/error.hpp"

namespace appserver::net {

DatagramServer::DatagramServer(boost::asio::io_context& context, std::size_t max_message,
                               DatagramHandler& handler, telemetry::WorkerPage& page,
                               std::function<void(const std::string&)> complain)
    : context_(context),
      max_message_(std::clamp<std::size_t>(max_message, 1, kLongest)),
      handler_(handler),
      page_(page),
      complain_(std::move(complain)) {}

DatagramServer::~DatagramServer() = default;

std::uint32_t DatagramServer::listener_number(const std::string& text, const os::Fd& socket) {
  const auto known = std::ranges::find(listeners_, text, &Listener::text);
  if (known != listeners_.end())
    return static_cast<std::uint32_t>(std::distance(listeners_.begin(), known));
  listeners_.push_back({text, socket.duplicate(), OwnAddress(socket.get())});
  return static_cast<std::uint32_t>(listeners_.size() - 1);
}

void DatagramServer::add(std::uint32_t slot, os::Fd socket, const std::string& listener) {
  if (buffer_.empty()) buffer_.resize(max_message_ * DatagramSocket::kBatch);
  const std::uint32_t number = listener_number(listener, socket);
  sockets_[slot].push_back(std::make_unique<DatagramSocket>(*this, std::move(socket), number));
}

void DatagramServer::start(std::uint32_t slot) {
  const auto found = sockets_.find(slot);
  if (found == sockets_.end()) return;
  for (auto& socket : found->second) socket->start();
}

void DatagramServer::stop(std::uint32_t slot, bool empty_queue) {
  const auto found = sockets_.find(slot);
  if (found == sockets_.end()) return;
  for (auto& socket : found->second) socket->stop(empty_queue);
  sockets_.erase(found);
}

void DatagramServer::stop_all(bool empty_queue) {
  while (!sockets_.empty()) stop(sockets_.begin()->first, empty_queue);
}

void DatagramServer::tick() {
  for (auto& [slot, sockets] : sockets_) {
    for (auto& socket : sockets) {
      const std::uint32_t lost = socket->newly_lost();
      if (lost == 0) continue;
      page_.datagrams_lost.add(lost);
      complain_(
          fmt::format("{} datagrams were lost: they came faster than they were served. More "
                      "workers, or a higher net.core.rmem_max, help",
                      lost));
    }
  }
  if (forged_ == 0) return;
  complain_(
      fmt::format("{} datagrams were dropped: they said that they come from an address that "
                  "this worker listens at, which somebody has forged",
                  std::exchange(forged_, 0)));
}

bool DatagramServer::is_own(const DatagramPeer& peer) const {
  return std::ranges::any_of(listeners_,
                             [&](const Listener& listener) { return listener.own.is(peer); });
}

void DatagramServer::deliver(const appserver_datagram& datagram) {
  const auto began = std::chrono::steady_clock::now();
  // A loop that is busy with datagrams turns, though it may not come to its timers for long.
  page_.heartbeat_ns.set(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(began.time_since_epoch()).count()));
  page_.datagrams_received.add();
  const bool good = handler_.on_datagram(datagram);
  page_.requests.add();
  page_.latency.add(std::chrono::steady_clock::now() - began);
  if (good) return;
  page_.failed.add();
  page_.server_errors.add();
}

std::int32_t DatagramServer::send(const appserver_udp_peer& to, std::string_view data) {
  const auto peer = DatagramPeer::read(to);
  if (!peer || peer->listener >= listeners_.size() || data.size() > kLongest)
    return APPSERVER_INVALID;
  if (is_own(*peer)) return APPSERVER_INVALID;
  DatagramHeader header(*peer);
  iovec part{const_cast<char*>(data.data()), data.size()};  // NOLINT: sendmsg(2) only reads it
  header.message().msg_iov = &part;
  header.message().msg_iovlen = 1;
  const int socket = listeners_[peer->listener].sender.get();
  const auto sent = os::retry_on_interrupt(
      [&] { return ::sendmsg(socket, &header.message(), MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent >= 0) {
    page_.datagrams_sent.add();
    return APPSERVER_OK;
  }
  switch (errno) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      page_.datagrams_unsent.add();
      return APPSERVER_LIMIT;
    case EMSGSIZE:
    case EINVAL:
    case EAFNOSUPPORT:
      return APPSERVER_INVALID;
    default:
      return APPSERVER_ERROR;
  }
}

std::int32_t DatagramServer::hold() {
  if (held_ >= kMostHeld) return APPSERVER_LIMIT;
  ++held_;
  return APPSERVER_OK;
}

std::int32_t DatagramServer::release() {
  if (held_ == 0) return APPSERVER_INVALID;
  --held_;
  if (held_ == 0 && on_fewer_) on_fewer_();
  return APPSERVER_OK;
}

}  // namespace appserver::net

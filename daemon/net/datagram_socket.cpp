#include "net/datagram_socket.hpp"

#include <fmt/format.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "net/datagram_peer.hpp"
#include "net/datagram_server.hpp"
#include "os/error.hpp"

namespace appserver::net {
namespace {

// While the kernel refuses; well above a spin.
constexpr std::chrono::milliseconds kRefusedPause{100};
// Most that is taken from a socket that ends: more than any buffer holds, and an end to a flood.
constexpr std::size_t kMostDrained = 262'144;

// Where recvmmsg(2) puts a batch.
struct Slots {
  alignas(cmsghdr) std::array<
      std::array<unsigned char, DatagramHeader::kControl + CMSG_SPACE(sizeof(in_pktinfo))>,
      DatagramSocket::kBatch> control;
  std::array<sockaddr_storage, DatagramSocket::kBatch> names;
  std::array<iovec, DatagramSocket::kBatch> parts;
  std::array<mmsghdr, DatagramSocket::kBatch> messages;
};
static_assert((DatagramHeader::kControl + CMSG_SPACE(sizeof(in_pktinfo))) % alignof(cmsghdr) == 0);

void prepare(Slots& slots, char* buffer, std::size_t length) {
  slots.messages = {};
  for (std::size_t i = 0; i < slots.messages.size(); ++i) {
    slots.parts[i] = {buffer + i * length, length};
    msghdr& header = slots.messages[i].msg_hdr;
    header.msg_name = &slots.names[i];
    header.msg_namelen = sizeof(slots.names[i]);
    header.msg_iov = &slots.parts[i];
    header.msg_iovlen = 1;
    header.msg_control = slots.control[i].data();
    header.msg_controllen = slots.control[i].size();
  }
}

}  // namespace

DatagramSocket::DatagramSocket(DatagramServer& server, os::Fd socket, std::uint32_t listener)
    : server_(server),
      listener_(listener),
      socket_(server.context_.get_executor(), socket.get()),
      retry_(server.context_) {
  socket.release();
  lost_ = lost();
}

void DatagramSocket::start() { wait(); }

void DatagramSocket::wait() {
  socket_.async_wait(socket_.wait_read,
                     [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
                       if (error || alive.expired()) return;
                       if (read_batch() == Batch::failed) {
                         back_off();
                       } else {
                         wait();
                       }
                     });
}

DatagramSocket::Batch DatagramSocket::read_batch() {
  Slots slots;
  const std::size_t length = server_.max_message_;
  prepare(slots, server_.buffer_.data(), length);
  const int count = os::retry_on_interrupt([&] {
    return ::recvmmsg(socket_.native_handle(), slots.messages.data(), slots.messages.size(),
                      MSG_DONTWAIT, nullptr);
  });
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Batch::empty;
  if (count < 0) {
    server_.complain_(fmt::format("{}: {}; datagrams wait", server_.listeners_[listener_].text,
                                  os::SystemError(errno, "recvmmsg()").what()));
    return Batch::failed;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const mmsghdr& message = slots.messages[i];
    const DatagramPeer peer = DatagramPeer::of(listener_, message.msg_hdr);
    if (server_.is_own(peer)) {
      server_.page_.datagrams_lost.add();
      ++server_.forged_;
      continue;
    }
    const std::string remote = peer.remote_text();
    const std::string& listener = server_.listeners_[listener_].text;
    appserver_datagram datagram{};
    datagram.size = sizeof(datagram);
    datagram.truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0 ? 1 : 0;
    datagram.data = {server_.buffer_.data() + i * length, message.msg_len};
    datagram.remote = {remote.data(), remote.size()};
    datagram.listener = {listener.data(), listener.size()};
    datagram.peer = peer.opaque();
    server_.deliver(datagram);
  }
  return Batch::some;
}

void DatagramSocket::back_off() {
  retry_.expires_after(kRefusedPause);
  retry_.async_wait(
      [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& aborted) {
        if (!aborted && !alive.expired()) wait();
      });
}

void DatagramSocket::stop(bool empty_queue) {
  retry_.cancel();
  if (empty_queue) {
    for (std::size_t taken = 0; taken < kMostDrained; taken += kBatch) {
      if (read_batch() != Batch::some) break;
    }
  }
  boost::system::error_code ignored;
  socket_.close(ignored);
}

std::uint32_t DatagramSocket::newly_lost() {
  const std::uint32_t before = lost_;
  lost_ = lost();
  return lost_ - before;
}

// The kernel's own count, over all processes that read from the socket.
std::uint32_t DatagramSocket::lost() {
  std::array<std::uint32_t, SK_MEMINFO_VARS> facts{};
  socklen_t size = sizeof(facts);
  if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_MEMINFO, facts.data(), &size) < 0)
    return lost_;
  return facts[SK_MEMINFO_DROPS];
}

}  // namespace appserver::net

#include "os/message_socket.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <stdexcept>

#include "os/error.hpp"

namespace appserver::os {

std::pair<Fd, Fd> make_socket_pair(int type) {
  std::array<int, 2> pair{};
  check(::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), "socketpair()");
  return {Fd(pair[0]), Fd(pair[1])};
}

SendResult send_packet(int socket, std::span<const std::string_view> parts,
                       std::span<const int> fds) {
  if (fds.size() > kMaxPassedFds) throw std::length_error("too many descriptors in one message");
  std::vector<iovec> vectors;
  for (const auto part : parts) {
    // sendmsg(2) only reads from it.
    vectors.push_back({const_cast<char*>(part.data()), part.size()});
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPassedFds)> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const auto sent =
      retry_on_interrupt([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
  if (sent >= 0) return SendResult::sent;
  // ETOOMANYREFS: too many descriptors of this user are under way; they leave as the peer takes
  // them.
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS) {
    return SendResult::would_block;
  }
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return SendResult::closed;
  throw_system_error(errno, fmt::format("sendmsg({}, {} descriptors)", socket, fds.size()));
}

SendResult send_packet(int socket, std::string_view data, std::span<const int> fds) {
  return send_packet(socket, std::span(&data, 1), fds);
}

ReceiveResult receive_packet(int socket, std::size_t limit, Packet& packet) {
  packet.fds.clear();
  packet.data.resize(limit);
  iovec vector{packet.data.data(), packet.data.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPassedFds)> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = retry_on_interrupt(
      [&] { return ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (got < 0) {
    packet.data.clear();
    if (errno == EAGAIN || errno == EWOULDBLOCK) return ReceiveResult::would_block;
    if (errno == ECONNRESET) return ReceiveResult::closed;
    throw_system_error(errno, fmt::format("recvmsg({})", socket));
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      packet.fds.emplace_back(fd);
    }
  }
  packet.data.resize(static_cast<std::size_t>(got));
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    packet.data.clear();
    throw std::length_error("a message from the other process was cut");
  }
  return got == 0 && packet.fds.empty() ? ReceiveResult::closed : ReceiveResult::received;
}

}  // namespace appserver::os

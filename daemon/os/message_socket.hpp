// Whole messages with descriptors between processes of one machine: SOCK_SEQPACKET in unix(7),
// SCM_RIGHTS.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.hpp"

namespace appserver::os {

// The kernel passes no more in one message (SCM_MAX_FD).
inline constexpr std::size_t kMaxPassedFds = 253;

struct Packet {
  std::string data;
  std::vector<Fd> fds;
};

// Two connected non-blocking close-on-exec sockets; `type` is SOCK_SEQPACKET or SOCK_STREAM.
std::pair<Fd, Fd> make_socket_pair(int type);

enum class SendResult { sent, would_block, closed };

// The parts become one message. Descriptors are duplicated by the kernel; the caller keeps its own.
// Throws on what is neither of the three results.
SendResult send_packet(int socket, std::span<const std::string_view> parts,
                       std::span<const int> fds = {});
SendResult send_packet(int socket, std::string_view data, std::span<const int> fds = {});

enum class ReceiveResult { received, would_block, closed };

// A message over `limit` bytes, or with more descriptors than fit, throws: its rest is lost;
// descriptors that came are in the packet then, too.
ReceiveResult receive_packet(int socket, std::size_t limit, Packet& packet);

}  // namespace appserver::os

// The message that carries one connection between two workers. A worker reads those of its
// predecessor, which may be of another version of this program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/handed.hpp"
#include "os/message_socket.hpp"

namespace appserver::worker {

// The longest message; what does not fit goes into a sealed memory file beside the connection.
inline constexpr std::size_t kMaxHandoverMessage = std::size_t{160} << 10;

// Sends it over a SOCK_SEQPACKET socket; `handed` stays as it is. Throws std::exception where it
// cannot be sent for another reason than the results say.
os::SendResult send_handed(int socket, const net::Handed& handed);

// Nullopt where the message is none of this version. Throws std::exception where its memory file
// cannot be read.
std::optional<net::Handed> read_handed(os::Packet packet);

// From the successor: so many connections more are taken.
std::string taken_message(std::uint32_t count);
std::optional<std::uint32_t> read_taken(const std::string& message);

}  // namespace appserver::worker

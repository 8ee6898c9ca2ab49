// One listening socket of a group. Every message names the address as the configuration does.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.hpp"
#include "os/fd.hpp"
#include "os/unix_socket.hpp"

namespace appserver::supervisor {

// Bound with SO_REUSEPORT and not listening yet: until it does, it takes no client. Throws
// os::SystemError; std::runtime_error for a host that is no address.
os::Fd bind_tcp(const config::Listen& listen, std::uint16_t port);

// Alike for a udp:// address. Datagrams queue up in it from the start.
os::Fd bind_udp(const config::Listen& listen, std::uint16_t port);

// SO_REUSEPORT would let a second daemon of the same user share the port unseen. Throws as
// bind_tcp() does where somebody has the port already.
void ensure_free(const config::Listen& listen);

// Bound, for the group's eyes only, and not listening yet. Folders that are absent are made:
// which may be is check_folders()'s affair. A socket that a killed daemon left is replaced. Throws
// std::exception.
os::NamedSocket bind_unix(const config::Listen& listen, const config::Group& group);

// Nothing to do for udp://.
void start_listening(const os::Fd& socket, const config::Listen& listen);

std::uint16_t bound_port(const os::Fd& socket);

// "http://127.0.0.1:8080", with `port` for the configured one.
std::string address_text(const config::Listen& listen, std::uint16_t port);

// Of the sockets that share this one's port, only the `first` (at least 1) that began to listen
// (of udp://, that were bound) get new connections from now on, at random. The kernel numbers them
// in that order, and when one is closed the last takes its number. Handshakes under way end where
// they began. Throws os::SystemError.
void give_only_to(const os::Fd& socket, std::uint32_t first, const config::Listen& listen);

// All of them get connections again. Throws os::SystemError.
void give_to_all(const os::Fd& socket, const config::Listen& listen);

// Of udp: what comes from now on goes to the others of the group, also while a worker that ends
// holds the socket for its last answers. The kernel passes connected sockets by (udp(7)).
void take_no_more_datagrams(const os::Fd& socket);

}  // namespace appserver::supervisor

// The ends of a connection, as plugins and logs are told.
#pragma once

#include <sys/socket.h>

#include <string>

namespace appserver::net {

// "192.0.2.1:5123" (also where it came through an IPv6 socket), "[2001:db8::1]:5123", "unix", or
// "unknown" where the connection has gone already.
std::string peer_name(int socket);
// Alike for our end.
std::string local_name(int socket);
// Of an address.
std::string name_of(const sockaddr_storage& address);

}  // namespace appserver::net

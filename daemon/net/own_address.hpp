// Where a udp:// listener hears, to tell datagrams that say they come from there.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>

#include "net/datagram_peer.hpp"

namespace appserver::net {

class OwnAddress final {
 public:
  // That of a bound socket.
  explicit OwnAddress(int socket);

  // Whether what is sent to the peer would come in here again: it is this address, or, of a socket
  // that hears at all of the machine's, any of them under this port. Nobody else can have it, so
  // that it is a forged source: an answer would be answered, and so on without an end.
  bool is(const DatagramPeer& peer) const;

 private:
  using Address = std::array<unsigned char, 16>;  // of IPv4 as IPv6 maps it

  static Address mapped(std::uint16_t family, const unsigned char* bytes);

  Address address_{};
  std::uint16_t family_ = AF_UNSPEC;
  std::uint16_t port_ = 0;  // network byte order
  bool any_ = false;
};

}  // namespace appserver::net

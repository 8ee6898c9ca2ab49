#include "net/own_address.hpp"

#include <algorithm>
#include <cstring>

#include "os/fd.hpp"

namespace appserver::net {
namespace {

constexpr std::array<unsigned char, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_loopback(const std::array<unsigned char, 16>& address) {
  if (std::equal(kMapped.begin(), kMapped.end(), address.begin())) return address[12] == 127;
  return std::ranges::all_of(address.begin(), address.end() - 1, [](auto b) { return b == 0; }) &&
         address.back() == 1;
}

// The kernel sends to an address of the machine from that address, and to any other from another
// one. Nothing is sent. Asked only for datagrams from a listener's own port.
bool is_of_machine(const DatagramPeer& peer) {
  const os::Fd socket(::socket(peer.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  DatagramPeer to = peer;
  to.has_local = 0;
  DatagramHeader header(to);
  const msghdr& message = header.message();
  if (::connect(socket.get(), static_cast<const sockaddr*>(message.msg_name), message.msg_namelen) <
      0) {
    return false;
  }
  sockaddr_storage from{};
  socklen_t length = sizeof(from);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&from), &length) < 0) return false;
  if (from.ss_family != peer.family) return false;
  if (peer.family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    return std::memcmp(&v4.sin_addr, peer.remote.data(), sizeof(v4.sin_addr)) == 0;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
  return std::memcmp(&v6.sin6_addr, peer.remote.data(), sizeof(v6.sin6_addr)) == 0;
}

}  // namespace

OwnAddress::Address OwnAddress::mapped(std::uint16_t family, const unsigned char* bytes) {
  Address address{};
  if (family == AF_INET) {
    std::copy(kMapped.begin(), kMapped.end(), address.begin());
    std::copy_n(bytes, sizeof(in_addr), address.begin() + kMapped.size());
  } else {
    std::copy_n(bytes, address.size(), address.begin());
  }
  return address;
}

OwnAddress::OwnAddress(int socket) {
  sockaddr_storage name{};
  socklen_t length = sizeof(name);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&name), &length) < 0) return;
  if (name.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    port_ = v4.sin_port;
    any_ = v4.sin_addr.s_addr == INADDR_ANY;
    address_ = mapped(AF_INET, reinterpret_cast<const unsigned char*>(&v4.sin_addr));
  } else if (name.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
    port_ = v6.sin6_port;
    any_ = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
    address_ = mapped(AF_INET6, v6.sin6_addr.s6_addr);
  }
  family_ = name.ss_family;
}

bool OwnAddress::is(const DatagramPeer& peer) const {
  if (peer.port != port_ || port_ == 0) return false;
  const Address remote = mapped(peer.family, peer.remote.data());
  if (!any_) return remote == address_;
  if (family_ == AF_INET && peer.family != AF_INET) return false;
  const bool came_to_itself =
      peer.has_local != 0 && remote == mapped(peer.family, peer.local.data());
  return came_to_itself || is_loopback(remote) || is_of_machine(peer);
}

}  // namespace appserver::net

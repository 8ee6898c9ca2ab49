#include "net/datagram_peer.hpp"

#include <cstring>

#include "net/peer_name.hpp"

namespace appserver::net {
namespace {

static_assert(sizeof(DatagramPeer) == sizeof(appserver_udp_peer));

template <class T>
T data_of(const cmsghdr& control) {
  T value{};
  std::memcpy(&value, CMSG_DATA(&control), sizeof(value));
  return value;
}

sockaddr_storage remote_of(const DatagramPeer& peer, socklen_t& length) {
  sockaddr_storage name{};
  if (peer.family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(name);
    v4.sin_family = AF_INET;
    v4.sin_port = peer.port;
    std::memcpy(&v4.sin_addr, peer.remote.data(), sizeof(v4.sin_addr));
    length = sizeof(v4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = peer.port;
    v6.sin6_scope_id = peer.scope;
    std::memcpy(&v6.sin6_addr, peer.remote.data(), sizeof(v6.sin6_addr));
    length = sizeof(v6);
  }
  return name;
}

}  // namespace

DatagramPeer DatagramPeer::of(std::uint32_t listener, const msghdr& message) {
  DatagramPeer peer;
  peer.listener = listener;
  sockaddr_storage name{};
  std::memcpy(&name, message.msg_name, message.msg_namelen);
  peer.family = name.ss_family;
  if (name.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    peer.port = v4.sin_port;
    std::memcpy(peer.remote.data(), &v4.sin_addr, sizeof(v4.sin_addr));
  } else if (name.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
    peer.port = v6.sin6_port;
    peer.scope = v6.sin6_scope_id;
    std::memcpy(peer.remote.data(), &v6.sin6_addr, sizeof(v6.sin6_addr));
  }
  msghdr& header = const_cast<msghdr&>(message);  // NOLINT: CMSG_NXTHDR wants it so
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
    if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
      const auto info = data_of<in_pktinfo>(*at);
      if (peer.family != AF_INET) continue;
      // Of what came to a group or to all, the interface's own address.
      std::memcpy(peer.local.data(), &info.ipi_spec_dst, sizeof(info.ipi_spec_dst));
      peer.has_local = 1;
    } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
      const auto info = data_of<in6_pktinfo>(*at);
      if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) continue;
      std::memcpy(peer.local.data(), &info.ipi6_addr, sizeof(info.ipi6_addr));
      peer.has_local = 1;
    }
  }
  return peer;
}

std::optional<DatagramPeer> DatagramPeer::read(const appserver_udp_peer& from) {
  DatagramPeer peer;
  std::memcpy(static_cast<void*>(&peer), &from, sizeof(peer));
  if (peer.family != AF_INET && peer.family != AF_INET6) return std::nullopt;
  return peer;
}

appserver_udp_peer DatagramPeer::opaque() const {
  appserver_udp_peer result{};
  std::memcpy(&result, this, sizeof(result));
  return result;
}

std::string DatagramPeer::remote_text() const {
  socklen_t length = 0;
  return name_of(remote_of(*this, length));
}

DatagramHeader::DatagramHeader(const DatagramPeer& peer) {
  name_ = remote_of(peer, message_.msg_namelen);
  message_.msg_name = &name_;
  if (peer.has_local != 0) add_local(peer);
}

void DatagramHeader::add_local(const DatagramPeer& peer) {
  message_.msg_control = control_.data();
  message_.msg_controllen = control_.size();
  cmsghdr& control = *CMSG_FIRSTHDR(&message_);
  if (peer.family == AF_INET) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, peer.local.data(), sizeof(info.ipi_spec_dst));
    control.cmsg_level = IPPROTO_IP;
    control.cmsg_type = IP_PKTINFO;
    control.cmsg_len = CMSG_LEN(sizeof(info));
    std::memcpy(CMSG_DATA(&control), &info, sizeof(info));
    message_.msg_controllen = CMSG_SPACE(sizeof(info));
  } else {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, peer.local.data(), sizeof(info.ipi6_addr));
    control.cmsg_level = IPPROTO_IPV6;
    control.cmsg_type = IPV6_PKTINFO;
    control.cmsg_len = CMSG_LEN(sizeof(info));
    std::memcpy(CMSG_DATA(&control), &info, sizeof(info));
    message_.msg_controllen = CMSG_SPACE(sizeof(info));
  }
}

}  // namespace appserver::net

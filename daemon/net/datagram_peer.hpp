// The two ends of a datagram, as one value that plugins keep.
#pragma once

#include <appserver/abi/udp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace appserver::net {

// Plugins may hand back anything: read() trusts nothing of it.
struct DatagramPeer {
  std::uint32_t listener = 0;  // which of the server's
  std::uint16_t family = 0;
  std::uint16_t port = 0;   // network byte order
  std::uint32_t scope = 0;  // of a link-local address
  std::uint32_t has_local = 0;
  std::array<unsigned char, 16> remote{};
  std::array<unsigned char, 16> local{};  // in whose name an answer leaves

  // What recvmsg(2) has filled in; the message has a name.
  static DatagramPeer of(std::uint32_t listener, const msghdr& message);
  static std::optional<DatagramPeer> read(const appserver_udp_peer& from);
  appserver_udp_peer opaque() const;
  std::string remote_text() const;
};

// What sendmsg(2) needs to answer: at one place, since it points into itself.
class DatagramHeader final {
 public:
  static constexpr std::size_t kControl = CMSG_SPACE(sizeof(in6_pktinfo));

  explicit DatagramHeader(const DatagramPeer& peer);
  DatagramHeader(const DatagramHeader&) = delete;
  DatagramHeader& operator=(const DatagramHeader&) = delete;

  msghdr& message() { return message_; }

 private:
  void add_local(const DatagramPeer& peer);

  sockaddr_storage name_{};
  alignas(cmsghdr) std::array<unsigned char, kControl> control_{};
  msghdr message_{};
};

}  // namespace appserver::net

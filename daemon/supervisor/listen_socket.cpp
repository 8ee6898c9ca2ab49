#include "supervisor/listen_socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "os/error.hpp"
#include "os/privileges.hpp"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68  // Linux 5.3, newer than some C libraries' headers
#endif

namespace appserver::supervisor {
namespace {

// Above the kernel's usual bound (somaxconn), which then decides.
constexpr int kBacklog = 16'384;
constexpr int kDatagramBuffer = 8 << 20;
constexpr mode_t kUnixMode = 0660;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress make_address(const config::Listen& listen, std::uint16_t port) {
  SocketAddress address;
  if (listen.host.find(':') == std::string::npos && listen.host != "*") {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    if (::inet_pton(AF_INET, listen.host.c_str(), &v4.sin_addr) != 1) {
      throw std::runtime_error(fmt::format("{}: not an address", listen.text));
    }
    address.length = sizeof(v4);
    return address;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_any;
  if (listen.host != "*" && ::inet_pton(AF_INET6, listen.host.c_str(), &v6.sin6_addr) != 1) {
    throw std::runtime_error(fmt::format("{}: not an address", listen.text));
  }
  address.length = sizeof(v6);
  return address;
}

void set_option(const os::Fd& socket, int level, int option, int value, const std::string& where) {
  os::check(::setsockopt(socket.get(), level, option, &value, sizeof(value)), "{}: setsockopt({})",
            where, option);
}

os::Fd bind_to(const SocketAddress& address, const config::Listen& listen, bool share) {
  const int family = address.get()->sa_family;
  const int type = listen.is_udp() ? SOCK_DGRAM : SOCK_STREAM;
  os::Fd socket(os::check(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "{}: socket()",
                          listen.text));
  // Over UDP it would let strangers share the port.
  if (!listen.is_udp()) set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1, listen.text);
  if (share) set_option(socket, SOL_SOCKET, SO_REUSEPORT, 1, listen.text);
  if (family == AF_INET6)
    set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, listen.host == "*" ? 0 : 1, listen.text);
  os::check(::bind(socket.get(), address.get(), address.length), "listening on {}: bind()",
            listen.text);
  return socket;
}

// A socket of the group's user, left by a daemon that was killed, refuses even root when it has no
// CAP_DAC_OVERRIDE.
bool is_ours_unreachable(const os::Occupant& found, const config::Group& group) {
  if (found.error != EACCES || group.user.empty()) return false;
  return found.owner == os::find_identity(group.user, group.group).uid;
}

void remove_stale(const config::Listen& listen, const config::Group& group) {
  using Kind = os::Occupant::Kind;
  const os::Occupant found = os::find_occupant(listen.unix_path);
  switch (found.kind) {
    case Kind::nobody:
      return;
    case Kind::not_a_socket:
      throw std::runtime_error(fmt::format(
          "listening on {}: there is a file that is not a socket; remove it", listen.text));
    case Kind::listening:
      throw std::runtime_error(
          fmt::format("listening on {}: another process listens there", listen.text));
    case Kind::unknown:
      // It says nothing of who is behind it: no permission, or a socket of another type that is in
      // use.
      if (!is_ours_unreachable(found, group)) {
        os::throw_system_error(
            found.error, fmt::format("listening on {}: a socket is there; connect()", listen.text));
      }
      break;
    case Kind::stale:
      break;
  }
  if (::unlink(listen.unix_path.c_str()) != 0 && errno != ENOENT)
    os::check(-1, "removing the stale socket {}", listen.text);
}

void give_to_user(const config::Listen& listen, const config::Group& group) {
  if (group.user.empty()) return;
  const os::Identity identity = os::find_identity(group.user, group.group);
  // Whoever may write to the folder must not be able to point us at another file.
  os::check(::fchownat(AT_FDCWD, listen.unix_path.c_str(), identity.uid, identity.gid,
                       AT_SYMLINK_NOFOLLOW),
            "{}: chown()", listen.text);
}

}  // namespace

os::Fd bind_tcp(const config::Listen& listen, std::uint16_t port) {
  os::Fd socket = bind_to(make_address(listen, port), listen, true);
  // Inherited by accepted connections: answers are gathered by us, not by the kernel.
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, listen.text);
  // Connections that may be silent for hours: a peer that has vanished is found out in two minutes.
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1, listen.text);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 60, listen.text);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 15, listen.text);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 4, listen.text);
  return socket;
}

os::Fd bind_udp(const config::Listen& listen, std::uint16_t port) {
  os::Fd socket = bind_to(make_address(listen, port), listen, true);
  // As much as net.core.rmem_max allows: what comes while a worker is busy or starts waits here.
  set_option(socket, SOL_SOCKET, SO_RCVBUF, kDatagramBuffer, listen.text);
  // On which of our addresses a datagram came, so that the answer leaves from it.
  const bool v6 = listen.host == "*" || listen.host.find(':') != std::string::npos;
  if (v6)
    set_option(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, listen.text);
  else
    set_option(socket, IPPROTO_IP, IP_PKTINFO, 1, listen.text);
  return socket;
}

void ensure_free(const config::Listen& listen) {
  if (listen.port != 0) bind_to(make_address(listen, listen.port), listen, false);
}

os::NamedSocket bind_unix(const config::Listen& listen, const config::Group& group) {
  std::filesystem::create_directories(listen.unix_path.parent_path());
  remove_stale(listen, group);
  os::NamedSocket bound = os::bind_unix_socket(listen.unix_path, kUnixMode);
  give_to_user(listen, group);
  return bound;
}

void start_listening(const os::Fd& socket, const config::Listen& listen) {
  if (listen.is_udp()) return;
  os::check(::listen(socket.get(), kBacklog), "listening on {}: listen()", listen.text);
}

std::uint16_t bound_port(const os::Fd& socket) {
  SocketAddress address;
  address.length = sizeof(address.storage);
  os::check(
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.length),
      "getsockname()");
  if (address.storage.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in&>(address.storage).sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_port);
}

std::string address_text(const config::Listen& listen, std::uint16_t port) {
  if (listen.port != 0) return listen.text;
  const bool v6 = listen.host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", listen.scheme, v6 ? "[" : "", listen.host, v6 ? "]" : "",
                     port);
}

void give_only_to(const os::Fd& socket, std::uint32_t first, const config::Listen& listen) {
  std::array<sock_filter, 3> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM)},
      {BPF_ALU | BPF_MOD | BPF_K, 0, 0, first},
      {BPF_RET | BPF_A, 0, 0, 0},
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  os::check(
      ::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof(filter)),
      "{}: setsockopt(SO_ATTACH_REUSEPORT_CBPF, the first {})", listen.text, first);
}

void give_to_all(const os::Fd& socket, const config::Listen& listen) {
  set_option(socket, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0, listen.text);
}

void take_no_more_datagrams(const os::Fd& socket) {
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  auto* const address = static_cast<sockaddr*>(static_cast<void*>(&own));
  // Where the kernel refuses, a datagram more may be lost: no reason to stop here.
  if (::getsockname(socket.get(), address, &size) == 0)
    static_cast<void>(::connect(socket.get(), address, size));
}

}  // namespace appserver::supervisor

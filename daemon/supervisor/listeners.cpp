#include "supervisor/listeners.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "os/error.hpp"
#include "os/privileges.hpp"

namespace appserver::supervisor {
namespace {

// Above the kernel's usual bound (somaxconn), which then decides.
constexpr int kBacklog = 16'384;
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

void set_option(int socket, int level, int option, int value, const std::string& where) {
  os::check(::setsockopt(socket, level, option, &value, sizeof(value)), "{}: setsockopt({})", where,
            option);
}

os::Fd listen_tcp(const config::Listen& listen, std::uint16_t port) {
  const SocketAddress address = make_address(listen, port);
  const int family = address.get()->sa_family;
  os::Fd socket(os::check(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                          "{}: socket()", listen.text));
  set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1, listen.text);
  set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1, listen.text);
  // Inherited by accepted connections: answers are gathered by us, not by the kernel.
  set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1, listen.text);
  if (family == AF_INET6)
    set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, listen.host == "*" ? 0 : 1, listen.text);
  os::check(::bind(socket.get(), address.get(), address.length), "listening on {}: bind()",
            listen.text);
  return socket;
}

// SO_REUSEPORT would let a second daemon of the same user share the port unseen, so a first bind is
// made without it.
void ensure_free(const config::Listen& listen) {
  if (listen.port == 0) return;
  const SocketAddress address = make_address(listen, listen.port);
  const int family = address.get()->sa_family;
  const os::Fd socket(
      os::check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "{}: socket()", listen.text));
  set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1, listen.text);
  if (family == AF_INET6)
    set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, listen.host == "*" ? 0 : 1, listen.text);
  os::check(::bind(socket.get(), address.get(), address.length), "listening on {}: bind()",
            listen.text);
}

std::uint16_t bound_port(int socket) {
  SocketAddress address;
  address.length = sizeof(address.storage);
  os::check(::getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.length),
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

sockaddr_un unix_address(const config::Listen& listen) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = listen.unix_path.native();
  if (path.size() >= sizeof(address.sun_path)) {
    throw std::runtime_error(fmt::format("{}: the path is longer than {} bytes", listen.text,
                                         sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A socket file that nobody listens on is left over from a daemon that was killed.
// A socket of the group's user, left by a daemon that was killed, refuses even root when it has no
// CAP_DAC_OVERRIDE.
bool is_ours_unreachable(int connect_error, const struct stat& status, const config::Group& group) {
  if (connect_error != EACCES || group.user.empty()) return false;
  return status.st_uid == os::find_identity(group.user, group.group).uid;
}

void remove_stale(const config::Listen& listen, const config::Group& group,
                  const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(address.sun_path, &status) < 0) return;
  if (!S_ISSOCK(status.st_mode)) {
    throw std::runtime_error(fmt::format(
        "listening on {}: there is a file that is not a socket; remove it", listen.text));
  }
  const os::Fd probe(
      os::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket()"));
  const int result =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (result == 0 || errno == EAGAIN) {
    throw std::runtime_error(
        fmt::format("listening on {}: another process listens there", listen.text));
  }
  // Anything else says nothing of who is behind it: no permission, or a socket of another type that
  // is in use.
  const int connect_error = errno;
  if (connect_error != ECONNREFUSED && !is_ours_unreachable(connect_error, status, group)) {
    os::throw_system_error(
        connect_error, fmt::format("listening on {}: a socket is there; connect()", listen.text));
  }
  os::check(::unlink(address.sun_path), "removing the stale socket {}", listen.text);
}

os::Fd bind_unix(const config::Listen& listen, const config::Group& group) {
  const sockaddr_un address = unix_address(listen);
  std::filesystem::create_directories(listen.unix_path.parent_path());
  remove_stale(listen, group, address);
  os::Fd socket(os::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                          "{}: socket()", listen.text));
  const mode_t before = ::umask(0777 & ~kUnixMode);
  const int bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::umask(before);
  if (bound < 0) os::throw_system_error(error, fmt::format("listening on {}: bind()", listen.text));
  return socket;
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

Listeners::Listeners(const config::Group& group, std::uint32_t slots) {
  try {
    for (const auto& listen : group.listen) open(listen, group, slots);
  } catch (...) {
    close();
    throw;
  }
}

Listeners::~Listeners() { close(); }

void Listeners::open(const config::Listen& listen, const config::Group& group,
                     std::uint32_t slots) {
  // In its place at once: what fails half-way is closed and removed with the rest.
  Address& address = sockets_.emplace_back();
  if (listen.is_unix()) {
    address.shared = true;
    address.sockets.push_back(bind_unix(listen, group));
    address.file = listen.unix_path;
    give_to_user(listen, group);
    addresses_.push_back(listen.text);
  } else {
    ensure_free(listen);
    std::uint16_t port = listen.port;
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      address.sockets.push_back(listen_tcp(listen, port));
      if (port == 0) port = bound_port(address.sockets.front().get());
    }
    addresses_.push_back(address_text(listen, port));
  }
  for (const os::Fd& socket : address.sockets) {
    os::check(::listen(socket.get(), kBacklog), "listening on {}: listen()", listen.text);
  }
}

std::vector<int> Listeners::of_slot(std::uint32_t slot) const {
  std::vector<int> result;
  for (const Address& address : sockets_) {
    if (address.sockets.empty()) continue;
    result.push_back(address.sockets[address.shared ? 0 : slot].get());
  }
  return result;
}

std::vector<int> Listeners::to_lend(std::uint32_t slot) const {
  std::vector<int> result;
  for (const Address& address : sockets_) {
    if (!address.shared && !address.sockets.empty()) result.push_back(address.sockets[slot].get());
  }
  return result;
}

void Listeners::close() {
  for (Address& address : sockets_) {
    address.sockets.clear();
    if (!address.file.empty()) ::unlink(std::exchange(address.file, {}).c_str());
  }
}

}  // namespace appserver::supervisor

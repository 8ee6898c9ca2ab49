#include "support/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "os/error.hpp"

namespace appserver::integration {

namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

template <typename Concrete>
Address packed(const Concrete& concrete) {
  Address address;
  std::memcpy(&address.storage, &concrete, sizeof(concrete));
  address.size = sizeof(concrete);
  return address;
}

Address address_of(const Endpoint& endpoint) {
  if (endpoint.is_unix()) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    if (endpoint.unix_path.size() >= sizeof(local.sun_path)) {
      throw std::runtime_error("unix path too long: " + endpoint.unix_path);
    }
    std::memcpy(local.sun_path, endpoint.unix_path.c_str(), endpoint.unix_path.size() + 1);
    return packed(local);
  }
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, endpoint.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    return packed(v4);
  }
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, endpoint.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    return packed(v6);
  }
  throw std::runtime_error("not an address: " + endpoint.text());
}

}  // namespace

std::string Endpoint::authority() const {
  if (is_unix()) return "localhost";
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Endpoint::text() const {
  return scheme + "://" + (is_unix() ? "unix:" + unix_path : authority());
}

Endpoint parse_endpoint(std::string_view url) {
  const auto refuse = [&] { throw std::runtime_error("not a listen URL: " + std::string(url)); };
  constexpr std::string_view kSeparator = "://";
  constexpr std::string_view kUnix = "unix:";
  const auto separator = url.find(kSeparator);
  if (separator == std::string_view::npos) refuse();
  const auto rest = url.substr(separator + kSeparator.size());
  Endpoint endpoint;
  endpoint.scheme = url.substr(0, separator);
  if (rest.starts_with(kUnix)) {
    endpoint.unix_path = rest.substr(kUnix.size());
    return endpoint;
  }
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) refuse();
  auto host = rest.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  endpoint.host = host;
  endpoint.port = static_cast<std::uint16_t>(std::stoul(std::string(rest.substr(colon + 1))));
  return endpoint;
}

os::Fd begin_connect(const Endpoint& endpoint, int& error) {
  const Address address = address_of(endpoint);
  os::Fd socket(
      os::check(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                "socket"));
  if (!endpoint.is_unix()) {
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address.storage));
  error = ::connect(socket.get(), generic, address.size) == 0 ? 0 : errno;
  return socket;
}

}  // namespace appserver::integration

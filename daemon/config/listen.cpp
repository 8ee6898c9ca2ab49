#include "config/listen.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "config/paths.hpp"
#include "config/problems.hpp"
#include "config/suggest.hpp"

namespace appserver::config {

namespace {

constexpr std::string_view kExpected = "an address such as http://127.0.0.1:8080";
constexpr std::string_view kAllV4 = "0.0.0.0";
constexpr std::string_view kAllV6 = "::";
constexpr std::string_view kMappedPrefix = "::ffff:";
struct Secured {
  std::string_view scheme;
  std::string_view plain;
};
constexpr std::array<Secured, 5> kSecured = {{{"https", "http"},
                                              {"wss", "ws"},
                                              {"text+tls", "text"},
                                              {"frame+tls", "frame"},
                                              {"tls", "tcp"}}};
constexpr std::array<std::string_view, 11> kSchemes = {
    "http", "https", "ws", "wss", "text", "text+tls", "frame", "frame+tls", "tcp", "tls", "udp"};
struct Foreign {
  std::string_view theirs;
  std::string_view ours;
};
constexpr std::array<Foreign, 8> kForeign = {{{"ssl", "tls"},
                                              {"tcps", "tls"},
                                              {"tcp+tls", "tls"},
                                              {"tcp+ssl", "tls"},
                                              {"ws+tls", "wss"},
                                              {"ws+ssl", "wss"},
                                              {"http+tls", "https"},
                                              {"http+ssl", "https"}}};
constexpr std::size_t kMaxUnixPath = sizeof(sockaddr_un::sun_path) - 1;

// The text form that inet_ntop gives, so that ::1 and 0:0::1 are one address.
std::optional<std::string> canonical_address(const std::string& host, int family) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::inet_pton(family, host.c_str(), address.data()) != 1) return std::nullopt;
  if (::inet_ntop(family, address.data(), text.data(), text.size()) == nullptr) return std::nullopt;
  return text.data();
}

Failure wrong_host(std::string_view text, std::string_view host) {
  return wrong_value(
      kExpected, text,
      fmt::format("{} is no literal address, and names are not looked up; write an IPv4 "
                  "address, an IPv6 address in [], localhost, or * for all",
                  in_quotes(host)));
}

Parsed<Listen> unix_listen(std::string_view text, std::string_view scheme, std::string_view path,
                           const std::filesystem::path& folder) {
  if (path.empty() || path.find('\0') != std::string_view::npos) {
    return wrong_value("an address such as http://unix:run/api.sock", text);
  }
  Listen listen;
  listen.scheme = scheme;
  listen.unix_path = absolute_path(path, folder);
  if (std::string problem = unix_path_problem(listen.unix_path); !problem.empty()) {
    return failed(std::move(problem));
  }
  listen.text = fmt::format("{}://unix:{}", scheme, listen.unix_path.native());
  return listen;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || rest != end || text.size() > 5) return std::nullopt;
  return port;
}

Parsed<Listen> tcp_listen(std::string_view text, std::string_view scheme,
                          std::string_view authority) {
  if (authority.ends_with('/')) authority.remove_suffix(1);  // as copied from a browser
  if (authority.find_first_of("/?#@") != std::string_view::npos) {
    return wrong_value(kExpected, text, "an address has no path, query or user");
  }
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  const bool no_port =
      colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket);
  if (no_port) return wrong_value(kExpected, text, "add a port");
  std::string host(authority.substr(0, colon));
  const auto port = parse_port(authority.substr(colon + 1));
  if (!port) return wrong_value(kExpected, text, "a port is a number from 0 to 65535");

  Listen listen;
  listen.scheme = scheme;
  listen.port = *port;
  if (host == "localhost") host = "127.0.0.1";
  if (host == "*") {
    listen.host = host;
  } else if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    const auto address = canonical_address(host.substr(1, host.size() - 2), AF_INET6);
    if (!address) return wrong_host(text, host);
    if (address->starts_with(kMappedPrefix) && address->find('.') != std::string::npos) {
      return wrong_value(
          kExpected, text,
          fmt::format("write {}://{}:{}", scheme, address->substr(kMappedPrefix.size()), *port));
    }
    listen.host = *address;
    host = fmt::format("[{}]", *address);
  } else {
    const auto address = canonical_address(host, AF_INET);
    if (!address) return wrong_host(text, host);
    listen.host = host = *address;
  }
  listen.text = fmt::format("{}://{}:{}", scheme, host, *port);
  return listen;
}

}  // namespace

std::string_view Listen::plain_scheme() const {
  const auto* const secured =
      std::ranges::find(kSecured, std::string_view(scheme), &Secured::scheme);
  return secured == kSecured.end() ? std::string_view(scheme) : secured->plain;
}

bool Listen::overlaps(const Listen& other) const {
  if (is_unix() || other.is_unix()) return unix_path == other.unix_path;
  if (is_udp() != other.is_udp() || port != other.port || port == 0) return false;
  if (host == other.host || host == "*" || other.host == "*") return true;
  const bool is_v6 = host.find(':') != std::string::npos;
  if (is_v6 != (other.host.find(':') != std::string::npos)) return false;
  const std::string_view all = is_v6 ? kAllV6 : kAllV4;
  return host == all || other.host == all;
}

// The worker of slot 0 is at the address itself, the others behind it.
Listen listen_of_slot(const Listen& first, std::uint32_t slot) {
  Listen listen = first;
  listen.link_slot = slot;
  if (slot == 0) return listen;
  if (first.is_unix()) {
    listen.unix_path += fmt::format(".{}", slot);
    listen.text += fmt::format(".{}", slot);
  } else {
    listen.port = static_cast<std::uint16_t>(first.port + slot);
    listen.text = fmt::format("{}:{}", first.text.substr(0, first.text.rfind(':')), listen.port);
  }
  return listen;
}

std::vector<Listen> Group::addresses() const {
  std::vector<Listen> all = listen;
  for (const Listen& first : link.listen) {
    for (std::uint32_t slot = 0; slot < count; ++slot) all.push_back(listen_of_slot(first, slot));
  }
  return all;
}

std::optional<LinkTarget> LinkTarget::of_slot(std::uint32_t slot) const {
  LinkTarget target = *this;
  if (slot == 0) return target;
  if (!unix_path.empty()) {
    target.unix_path += fmt::format(".{}", slot);
    target.text += fmt::format(".{}", slot);
    return target;
  }
  if (slot > kLastPort - static_cast<std::uint32_t>(port)) return std::nullopt;
  target.port = static_cast<std::uint16_t>(port + slot);
  target.text = fmt::format("{}:{}", text.substr(0, text.rfind(':')), target.port);
  return target;
}

std::string unix_path_problem(const std::filesystem::path& path) {
  const std::size_t size = path.native().size();
  if (size <= kMaxUnixPath) return {};
  return fmt::format(
      "the path of a unix socket has at most {} bytes, and {} has {}; choose a shorter one",
      kMaxUnixPath, path.native(), size);
}

Parsed<Listen> parse_listen(std::string_view text, const std::filesystem::path& folder) {
  if (text.find('\0') != std::string_view::npos) return wrong_value(kExpected, text);
  const std::size_t separator = text.find("://");
  if (separator == std::string_view::npos) {
    const bool number =
        !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    const bool address = text.find(':') != std::string_view::npos && text.size() < 60;
    if (number)
      return wrong_value(kExpected, text, fmt::format("for a port, write http://*:{}", text));
    return wrong_value(kExpected, text, address ? fmt::format("write http://{}", text) : "");
  }
  const std::string_view scheme = text.substr(0, separator);
  const std::string_view rest = text.substr(separator + 3);
  if (std::ranges::find(kSchemes, scheme) == kSchemes.end()) {
    const auto* const foreign = std::ranges::find(kForeign, scheme, &Foreign::theirs);
    return failed(fmt::format("unknown scheme {} in {}{}", in_quotes(scheme), in_quotes(text),
                              foreign == kForeign.end()
                                  ? suggestion(scheme, kSchemes)
                                  : fmt::format("; did you mean '{}'?", foreign->ours)));
  }
  if (rest.starts_with(kUnixPrefix)) {
    if (scheme == "udp") {
      return failed(
          fmt::format("udp:// has no unix sockets: in {}; write udp://127.0.0.1:PORT, or "
                      "frame://{} for messages over a unix socket",
                      in_quotes(text), rest));
    }
    return unix_listen(text, scheme, rest.substr(kUnixPrefix.size()), folder);
  }
  return tcp_listen(text, scheme, rest);
}

}  // namespace appserver::config

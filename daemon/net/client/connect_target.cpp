#include "net/client/connect_target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/url.hpp>
#include <charconv>

namespace appserver::net::client {
namespace {

namespace urls = boost::urls;
using stream::Framing;

struct Scheme {
  std::string_view name;
  std::string_view protocol;
  Framing framing;
  bool tls;
};
constexpr std::array<Scheme, 8> kSchemes{{{"tcp", "tcp", Framing::raw, false},
                                          {"tls", "tcp", Framing::raw, true},
                                          {"text", "text", Framing::text, false},
                                          {"text+tls", "text", Framing::text, true},
                                          {"frame", "frame", Framing::frame, false},
                                          {"frame+tls", "frame", Framing::frame, true},
                                          {"ws", "websocket", Framing::raw, false},
                                          {"wss", "websocket", Framing::raw, true}}};

[[noreturn]] void bad_url(const std::string& why) { throw CallError(Failure::request, why); }

std::string plain(boost::core::string_view view) { return {view.data(), view.size()}; }

const Scheme& scheme_of(std::string_view name) {
  const auto* const found = std::ranges::find(kSchemes, name, &Scheme::name);
  if (found == kSchemes.end()) {
    bad_url(
        "the URL begins with none of tcp://, tls://, text://, text+tls://, frame://, frame+tls://, "
        "ws:// and wss://");
  }
  return *found;
}

std::uint16_t port_of(const std::string& digits, const Scheme& scheme) {
  if (digits.empty() && scheme.protocol == "websocket") return scheme.tls ? 443 : 80;
  if (digits.empty()) bad_url("the URL names no port");
  std::uint16_t port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc{} || rest != end || port == 0) bad_url("the URL's port is not 1 to 65535");
  return port;
}

void set_unix(ConnectTarget& connect, const std::string& path) {
  Target& target = connect.target;
  const std::size_t colon = connect.is_websocket() ? path.find(':') : std::string::npos;
  target.unix_socket = path.substr(0, colon);
  target.resource = colon == std::string::npos ? "/" : path.substr(colon + 1);
  if (target.unix_socket.size() < 2 || target.unix_socket.size() > kMaxSocketPath ||
      target.unix_socket.front() != '/' || !target.resource.starts_with('/')) {
    bad_url(
        "the URL is not like text://unix:/path/of/socket or ws://unix:/path/of/socket:/target, "
        "with at most 107 bytes of path");
  }
  target.host = target.authority = "localhost";
}

}  // namespace

ConnectTarget parse_connect_target(std::string_view url) {
  if (url.size() > kMaxUrl) bad_url("the URL is longer than 16 KiB");
  const auto parsed = urls::parse_uri(boost::core::string_view(url.data(), url.size()));
  if (!parsed) bad_url("this is no URL; it looks like text://host:port");
  const urls::url_view& view = *parsed;
  const Scheme& scheme = scheme_of(plain(view.scheme()));
  ConnectTarget connect{{}, std::string(scheme.protocol), scheme.framing};
  Target& target = connect.target;
  target.tls = scheme.tls;
  if (!view.has_authority() || view.encoded_host().empty()) bad_url("the URL names no host");
  if (view.has_userinfo()) bad_url("the URL holds a user, which nothing here would send");
  if (view.has_fragment()) bad_url("the URL holds a fragment (#), which nothing here would send");
  target.resource = plain(view.encoded_target());
  if (plain(view.encoded_host()) == "unix" && view.has_port() && view.port().empty()) {
    set_unix(connect, target.resource);
    return connect;
  }
  if (!connect.is_websocket() && !target.resource.empty() && target.resource != "/")
    bad_url(fmt::format("the URL has a path, which {}:// has no use for", scheme.name));
  if (!target.resource.starts_with('/')) target.resource.insert(0, "/");
  target.host = view.host_type() == urls::host_type::name ? view.host_name() : view.host_address();
  if (target.host.find('\0') != std::string::npos) bad_url("the URL's host holds a NUL");
  target.port = port_of(plain(view.port()), scheme);
  target.authority = plain(view.encoded_host());
  if (view.has_port() && !view.port().empty()) target.authority += ":" + plain(view.port());
  return connect;
}

}  // namespace appserver::net::client

#include "net/client/target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <appserver/detail/text.hpp>
#include <array>
#include <boost/url.hpp>

namespace appserver::net::client {

namespace urls = boost::urls;
using appserver::detail::equal_ignoring_case;

namespace {

constexpr std::size_t kMaxFields = std::size_t{64} << 10;

[[noreturn]] void refuse(const std::string& why) { throw CallError(Failure::request, why); }

std::string text(boost::core::string_view view) { return {view.data(), view.size()}; }

std::uint16_t port_of(const std::string& digits, bool tls) {
  if (digits.empty()) return tls ? 443 : 80;
  // The parser has seen that they are digits, but not how many.
  const unsigned long port = digits.size() > 5 ? 0 : std::stoul(digits);
  if (port == 0 || port > 65'535) refuse("the URL's port is not 1 to 65535");
  return static_cast<std::uint16_t>(port);
}

void set_unix(Target& target, const std::string& path) {
  // http://unix:/run/app.sock:/target
  const std::size_t colon = path.find(':');
  target.unix_socket = path.substr(0, colon);
  target.resource = colon == std::string::npos ? "/" : path.substr(colon + 1);
  if (target.unix_socket.size() > kMaxSocketPath || target.resource.empty() ||
      target.resource.front() != '/' || target.unix_socket.front() != '/')
    refuse(
        "the URL is not like http://unix:/path/of/socket:/target, with at most 107 bytes of path");
  target.host = "localhost";
  target.authority = "localhost";
}

bool names_framing(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kOurs{
      "Connection", "Content-Length", "Expect",  "Keep-Alive",       "Proxy-Connection",
      "TE",         "Trailer",        "Upgrade", "Transfer-Encoding"};
  return std::ranges::any_of(
      kOurs, [&](std::string_view ours) { return equal_ignoring_case(ours, name); });
}

bool has_field(const HttpRequest& request, std::string_view name) {
  return std::ranges::any_of(
      request.fields, [&](const Field& field) { return equal_ignoring_case(field.name, name); });
}

}  // namespace

std::string Target::origin() const {
  return fmt::format("{}{}:{}{}", tls ? "https://" : "http://", host, port, unix_socket);
}

Target parse_target(std::string_view url) {
  if (url.size() > kMaxUrl) refuse("the URL is longer than 16 KiB");
  const auto parsed = urls::parse_uri(boost::core::string_view(url.data(), url.size()));
  if (!parsed) refuse("this is no URL; it looks like http://host:port/path?query");
  const urls::url_view& view = *parsed;
  Target target;
  const auto scheme = view.scheme_id();
  if (scheme != urls::scheme::http && scheme != urls::scheme::https)
    refuse("the URL begins with neither http:// nor https://");
  target.tls = scheme == urls::scheme::https;
  if (!view.has_authority() || view.encoded_host().empty()) refuse("the URL names no host");
  if (view.has_userinfo()) refuse("the URL holds a user; send the header Authorization instead");
  target.resource = text(view.encoded_target());
  if (target.resource.empty() || target.resource.front() == '?') target.resource.insert(0, "/");
  if (text(view.encoded_host()) == "unix" && view.has_port() && view.port().empty()) {
    if (target.tls) refuse("a unix socket speaks http://, not https://");
    set_unix(target, target.resource);
    return target;
  }
  target.host = view.host_type() == urls::host_type::name ? view.host_name() : view.host_address();
  if (target.host.find('\0') != std::string::npos) refuse("the URL's host holds a NUL");
  target.port = port_of(text(view.port()), target.tls);
  target.authority = text(view.encoded_host());
  if (view.has_port() && !view.port().empty()) target.authority += ":" + text(view.port());
  return target;
}

std::string resolve_location(const std::string& base, std::string_view location) {
  const auto from = urls::parse_uri(base);
  const auto reference =
      urls::parse_uri_reference(boost::core::string_view(location.data(), location.size()));
  urls::url whole;
  if (location.size() > kMaxUrl || !from || !reference || !urls::resolve(*from, *reference, whole))
    throw CallError(Failure::response, "the answer redirects to what is no URL");
  whole.remove_fragment();
  return {whole.buffer().data(), whole.buffer().size()};
}

void check_request(const HttpRequest& request) {
  if (!appserver::detail::is_token(request.method))
    refuse(fmt::format("\"{}\" is no method", request.method));
  if (request.method == "CONNECT") refuse("CONNECT is for proxies");
  std::size_t size = 0;
  for (const Field& field : request.fields) {
    if (!appserver::detail::is_token(field.name))
      refuse(fmt::format("\"{}\" is no name of a header", field.name));
    if (names_framing(field.name))
      refuse(fmt::format("the header {} is set by the client itself", field.name));
    if (!appserver::detail::is_field_value(field.value))
      refuse(fmt::format("the value of the header {} holds a control character", field.name));
    size += field.name.size() + field.value.size() + 4;
  }
  if (size > kMaxFields) refuse("the headers are over 64 KiB");
  const auto hosts = std::ranges::count_if(
      request.fields, [](const Field& field) { return equal_ignoring_case(field.name, "Host"); });
  if (hosts > 1) refuse("the header Host stands twice");
}

std::string request_head(const HttpRequest& request, const Target& target) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\n", request.method, target.resource);
  if (!has_field(request, "Host")) head += fmt::format("Host: {}\r\n", target.authority);
  if (!has_field(request, "User-Agent")) head += "User-Agent: appserverd\r\n";
  for (const Field& field : request.fields)
    head += fmt::format("{}: {}\r\n", field.name, field.value);
  const bool expects_body =
      request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (expects_body || !request.body.empty())
    head += fmt::format("Content-Length: {}\r\n", request.body.size());
  head += "\r\n";
  return head;
}

bool is_idempotent(std::string_view method) {
  static constexpr std::array<std::string_view, 6> kSafeToRepeat{"GET",    "HEAD",    "PUT",
                                                                 "DELETE", "OPTIONS", "TRACE"};
  return std::ranges::find(kSafeToRepeat, method) != kSafeToRepeat.end();
}

}  // namespace appserver::net::client

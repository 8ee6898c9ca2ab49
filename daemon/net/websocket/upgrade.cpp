#include "net/websocket/upgrade.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/rfc7230.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "net/http/grammar.hpp"
#include "net/http/response_writer.hpp"

namespace appserver::net::websocket {
namespace {

namespace beast_http = boost::beast::http;

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::size_t kKeySize = 24;  // sixteen bytes in base64

// `token` is in lower case.
bool has_token(std::string_view list, std::string_view token) {
  while (const auto element = http::next_list_element(list)) {
    if (http::equals_ignoring_case(*element, token)) return true;
  }
  return false;
}

bool is_key(std::string_view key) {
  if (key.size() != kKeySize || !key.ends_with("==")) return false;
  key.remove_suffix(2);
  return std::ranges::all_of(key, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
  });
}

// From 8 to 15, as 7.1.2 has it: without leading zeros.
bool is_window(std::string_view value) {
  return value == "8" || value == "9" ||
         (value.size() == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5');
}

// One offer: every parameter known, once, and with a value that it may have. A smaller window for
// what we send is more than we can keep.
bool can_serve(const beast_http::param_list& parameters) {
  std::set<std::string> seen;
  for (const auto& [name_view, value_view] : parameters) {
    const std::string name(name_view);
    std::string_view value(value_view.data(), value_view.size());
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    if (!seen.insert(name).second) return false;
    if (name == "server_no_context_takeover" || name == "client_no_context_takeover") {
      if (!value.empty()) return false;
    } else if (name == "client_max_window_bits") {
      if (!value.empty() && !is_window(value)) return false;
    } else if (name == "server_max_window_bits") {
      if (value != "15") return false;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

UpgradeFields::UpgradeFields(const appserver_http_request& request) {
  struct Field {
    std::string_view name;
    std::string_view& view;
    std::string& joined;
  };
  const std::array<Field, 6> fields{
      {{"upgrade", request_.upgrade, upgrade_},
       {"connection", request_.connection, connection_},
       {"sec-websocket-key", request_.key, key_},
       {"sec-websocket-version", request_.ws_version, version_},
       {"sec-websocket-protocol", request_.protocols, protocols_},
       {"sec-websocket-extensions", request_.extensions, extensions_}}};
  request_.method = {request.method.data, request.method.size};
  request_.version = request.version;
  const char* next = reinterpret_cast<const char*>(request.headers);
  for (std::uint32_t i = 0; i < request.header_count; ++i, next += request.header_stride) {
    const auto& header = *reinterpret_cast<const appserver_header*>(next);
    const std::string_view name(header.name.data, header.name.size);
    const auto found = std::ranges::find_if(fields, [&](const Field& field) {
      return field.name.size() == name.size() && http::equals_ignoring_case(name, field.name);
    });
    if (found == fields.end()) continue;
    const std::string_view value(header.value.data, header.value.size);
    if (found->view.data() == nullptr) {
      found->view = value;
      continue;
    }
    found->joined = std::string(found->view) + ", " + std::string(value);
    found->view = found->joined;
  }
}

bool wants_upgrade(const UpgradeRequest& request) {
  return has_token(request.upgrade, "websocket");
}

Refused why_not(const UpgradeRequest& request) {
  if (request.method != "GET") return {400, "a WebSocket begins with GET"};
  if (request.version != 11) return {400, "a WebSocket begins with HTTP/1.1"};
  if (!has_token(request.connection, "upgrade")) return {400, "Connection: Upgrade is missing"};
  if (request.ws_version != "13") return {426, "only version 13 of WebSocket is spoken here"};
  if (!is_key(request.key)) return {400, "Sec-WebSocket-Key is not sixteen bytes in base64"};
  return {};
}

std::vector<std::string_view> offered_protocols(std::string_view protocols) {
  std::vector<std::string_view> result;
  while (const auto name = http::next_list_element(protocols)) {
    if (http::is_token(*name)) result.push_back(*name);
  }
  return result;
}

bool offers_deflate(std::string_view extensions) {
  // Beast gives the last extension the parameters of the one before where nothing follows it.
  const std::string text = std::string(extensions) + " ";
  const beast_http::ext_list list(text);
  return std::any_of(list.begin(), list.end(), [](const auto& extension) {
    return extension.first == "permessage-deflate" && can_serve(extension.second);
  });
}

std::string accept_key(std::string_view key) {
  const std::string text = std::string(key) + std::string(kGuid);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr) != 1)
    throw std::runtime_error("OpenSSL: SHA-1 failed");
  std::array<unsigned char, 32> base64{};
  const int length = ::EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(base64.data()), static_cast<std::size_t>(length)};
}

std::string switching_head(std::string_view key, std::string_view protocol, bool deflate) {
  std::string head = fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n",
      accept_key(key));
  if (!protocol.empty()) head += fmt::format("Sec-WebSocket-Protocol: {}\r\n", protocol);
  if (deflate) {
    head +=
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
        "client_no_context_takeover\r\n";
  }
  return head + "\r\n";
}

std::string refusal(unsigned status, std::string_view why, std::string_view date) {
  const std::string body =
      fmt::format("{} {}{}{}\n", status, http::reason_phrase(status), why.empty() ? "" : ": ", why);
  // RFC 9110, section 15.5.22; RFC 6455, section 4.4.
  const bool upgrade = status == 426;
  return fmt::format(
      "HTTP/1.1 {} {}\r\n{}{}Connection: {}close\r\nContent-Type: text/plain; "
      "charset=utf-8\r\nContent-Length: {}\r\n\r\n{}",
      status, http::reason_phrase(status), date,
      upgrade ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : "",
      upgrade ? "Upgrade, " : "", body.size(), body);
}

}  // namespace appserver::net::websocket

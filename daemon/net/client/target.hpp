// Whom a URL means, and the request's head for it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/client/http_call.hpp"

namespace appserver::net::client {

// Longer ones are cut off by many servers anyway.
inline constexpr std::size_t kMaxUrl = std::size_t{16} << 10;
// As sockaddr_un has it, less the NUL.
inline constexpr std::size_t kMaxSocketPath = 107;

struct Target {
  bool tls = false;
  std::string host{};         // a name or a literal address, without brackets
  std::uint16_t port = 0;     // 0: of a unix socket
  std::string unix_socket{};  // path; empty where it is TCP
  std::string authority{};    // for the header Host
  std::string resource{};     // path and query, as sent

  // Calls that may share a connection have one.
  std::string origin() const;
};

// Throws CallError (Failure::request).
Target parse_target(std::string_view url);

// Where a redirect leads; absolute. Throws CallError (Failure::response).
std::string resolve_location(const std::string& base, std::string_view location);

// Throws CallError where method or headers cannot be sent (RFC 9110, section 5.5), or frame the
// message, which is the client's.
void check_request(const HttpRequest& request);

std::string request_head(const HttpRequest& request, const Target& target);

// RFC 9110, section 9.2.2.
bool is_idempotent(std::string_view method);

}  // namespace appserver::net::client

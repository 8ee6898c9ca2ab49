// An address that a daemon listens on, as its status prints it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace appserver::integration {

struct Endpoint {
  std::string scheme = "http";
  std::string host;  // "127.0.0.1" or "::1"; empty for a unix socket
  std::uint16_t port = 0;
  std::string unix_path;

  bool is_unix() const { return !unix_path.empty(); }
  std::string text() const;       // "http://127.0.0.1:8080", "http://unix:/tmp/x.sock"
  std::string authority() const;  // what belongs into Host
};

// From "http://127.0.0.1:8080", "text://[::1]:8080" or "tcp://unix:/path". Throws
// std::runtime_error.
Endpoint parse_endpoint(std::string_view url);

// Begins a connection that does not block. The descriptor, and 0, EINPROGRESS or the error in
// `error`.
os::Fd begin_connect(const Endpoint& endpoint, int& error);

}  // namespace appserver::integration

// One request and its answer over a connection (RFC 9112).
#pragma once

#include <string_view>

#include "net/client/transport.hpp"

namespace appserver::net::client {

struct Answer {
  HttpResponse response{};
  bool keep_alive = false;  // the connection is fit for another request
  // Instead of an answer: the connection ended before its first byte, with `why`.
  bool unanswered = false;
  std::string why{};
};

// `head` and `body` stay until it is through; `is_head`: no body follows, whatever the answer says.
// Throws CallError.
Work<Answer> exchange(Transport& transport, std::string_view head, std::string_view body,
                      bool is_head, std::size_t max_body);

}  // namespace appserver::net::client

// The bounds of a request, and what is said to a client whose request is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace appserver::net::http {

struct RequestLimits {
  // Bytes of request line and fields, and again of a chunked body's trailer; 431.
  std::size_t max_head = 16 * 1024;
  // Bytes of the request target; 414.
  std::size_t max_target = 8 * 1024;
  // 431.
  std::uint32_t max_fields = 100;
  // Bytes, transfer coding removed; 413.
  std::uint64_t max_body = 10 * 1024 * 1024;
};

// Why a request is refused. After the answer the connection must be closed: where the next request
// would begin is unknown.
struct Refusal {
  unsigned status = 0;      // 4xx or 5xx
  std::string_view reason;  // a literal, one line of plain text
};

}  // namespace appserver::net::http

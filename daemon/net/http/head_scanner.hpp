// Finds the end of a request head in bytes that may come in small pieces.
#pragma once

#include <cstddef>
#include <string_view>

#include "net/http/limits.hpp"

namespace appserver::net::http {

// Looks at line ends only: each must be CRLF, no line may begin with white space (obs-fold), and
// there is a bound on the lines and bytes. What it answers depends on the bytes alone, never on how
// they were cut into pieces.
class HeadScanner {
 public:
  explicit HeadScanner(const RequestLimits& limits) : limits_(limits) {}

  enum class Result { need_more, complete, refused };

  // `input` begins with the request line and, at each further call, is longer or equal. Bytes are
  // looked at once.
  Result scan(std::string_view input);

  // After complete: the bytes of the head, its empty line included.
  std::size_t head_size() const { return line_start_; }

  // After refused.
  const Refusal& refusal() const { return refusal_; }

  void reset();

 private:
  Result refuse(unsigned status, std::string_view reason);
  Result scan_line(std::string_view line);
  std::size_t bound() const;

  RequestLimits limits_;
  Refusal refusal_;
  std::size_t line_start_ = 0;
  std::size_t scanned_ = 0;
  std::size_t lines_ = 0;
};

}  // namespace appserver::net::http

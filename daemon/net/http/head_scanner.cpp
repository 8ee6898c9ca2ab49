#include "net/http/head_scanner.hpp"

#include <algorithm>

namespace appserver::net::http {

namespace {
// A method of 32 bytes, two spaces, "HTTP/1.1" and CRLF, rounded up: room beside the target in a
// request line.
constexpr std::size_t kRequestLineRoom = 64;
}  // namespace

HeadScanner::Result HeadScanner::scan(std::string_view input) {
  for (;;) {
    const auto end = std::min(input.size(), bound());
    const auto newline = input.substr(0, end).find('\n', scanned_);
    if (newline == std::string_view::npos) {
      scanned_ = end;
      if (end < bound()) return Result::need_more;
      return lines_ == 0 ? refuse(414, "the request line is too long")
                         : refuse(431, "the request head is too large");
    }
    const auto line = input.substr(line_start_, newline + 1 - line_start_);
    scanned_ = line_start_ = newline + 1;
    const auto result = scan_line(line);
    if (result != Result::need_more) return result;
  }
}

void HeadScanner::reset() {
  line_start_ = scanned_ = lines_ = 0;
  refusal_ = {};
}

HeadScanner::Result HeadScanner::refuse(unsigned status, std::string_view reason) {
  refusal_ = {status, reason};
  return Result::refused;
}

HeadScanner::Result HeadScanner::scan_line(std::string_view line) {
  if (line.size() < 2 || line[line.size() - 2] != '\r') {
    return refuse(400, "a line of the request head ends in LF without CR");
  }
  if (line.size() == 2) return Result::complete;
  if (line.front() == ' ' || line.front() == '\t') {
    return refuse(400, "a line of the request head begins with white space");
  }
  if (lines_ > limits_.max_fields) return refuse(431, "the request has too many header fields");
  ++lines_;
  return Result::need_more;
}

std::size_t HeadScanner::bound() const {
  if (lines_ > 0) return limits_.max_head;
  return std::min(limits_.max_head, limits_.max_target + kRequestLineRoom);
}

}  // namespace appserver::net::http

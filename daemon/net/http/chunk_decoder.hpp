// Takes the chunked transfer coding (RFC 9112 7.1) off a body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http/limits.hpp"

namespace appserver::net::http {

// A state machine of our own rather than Beast's: with constant state and each byte seen once, tiny
// chunks cost neither memory nor repeated scans, while Beast 1.81 wants whole lines in one buffer
// and bounds neither extensions nor trailers.
//
// Strict: CRLF only, no white space around sizes, at most 16 hex digits, well-formed extensions (4
// KiB a line, max_head in a body) and trailers (max_head, max_fields). Both are checked and
// dropped: no trailer ever takes effect.
class ChunkDecoder {
 public:
  explicit ChunkDecoder(const RequestLimits& limits) : limits_(limits) {}

  enum class Result { need_more, complete, refused };

  // Appends decoded bytes to `out`; `consumed` says how many bytes of `input` were read (all of
  // them with need_more).
  Result decode(std::string_view input, std::size_t& consumed, std::string& out);

  // After refused.
  const Refusal& refusal() const { return refusal_; }

  void reset() { *this = ChunkDecoder(limits_); }

 private:
  enum class State : std::uint8_t {
    size_first,
    size,
    extension_name_first,
    extension_name,
    extension_value_first,
    extension_value,
    quoted,
    quoted_pair,
    quoted_end,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
    done,
    refused,
  };

  bool refuse(unsigned status, std::string_view reason);
  bool malformed_size() { return refuse(400, "a chunk size is malformed"); }
  bool malformed_extension() { return refuse(400, "a chunk extension is malformed"); }
  bool malformed_trailer() { return refuse(400, "a trailer field is malformed"); }
  bool go(State next);
  std::size_t take_data(std::string_view input, std::string& out);
  bool step(char c);
  bool step_size(char c);
  bool step_extension(char c);
  bool step_quoted(char c);
  bool after_extension_part(char c);
  bool begin_chunk(char c);
  bool step_data_end(char c);
  bool step_trailer(char c);
  bool begin_trailer_line(char c);

  RequestLimits limits_;
  Refusal refusal_;
  std::uint64_t size_ = 0;      // of the chunk, then what is left of it
  std::uint64_t received_ = 0;  // decoded bytes, the chunk at hand included
  std::size_t line_ = 0;        // bytes of extension in this chunk's line
  std::size_t extensions_ = 0;  // bytes of extension in this body
  std::size_t trailer_ = 0;     // bytes of trailer
  std::uint32_t trailer_fields_ = 0;
  std::uint8_t digits_ = 0;
  State state_ = State::size_first;
};

}  // namespace appserver::net::http

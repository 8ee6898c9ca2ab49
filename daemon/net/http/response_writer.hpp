// Writes HTTP/1.1 answers into a connection's output. Pure: everything is appended to a string.
#pragma once

#include <appserver/abi/http.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http/compression.hpp"

namespace appserver::net::http {

// The Date line, made once a second for all answers of a worker.
class DateCache final {
 public:
  explicit DateCache(std::chrono::system_clock::time_point now) { refresh(now); }

  // To be called by the worker's tick; does nothing within the same second.
  void refresh(std::chrono::system_clock::time_point now);

  // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
  std::string_view line() const { return {line_.data(), line_.size()}; }

 private:
  std::array<char, 37> line_{};
  std::chrono::sys_seconds second_ = std::chrono::sys_seconds::min();
};

// What an answer needs to know of its request.
struct AnswerTo {
  unsigned version = 11;     // of the request: 10 or 11
  bool keep_alive = false;   // the connection stays open behind this answer
  bool head_method = false;  // to HEAD: lengths are told, bodies are not sent
  bool gzip = false;         // the client takes it
};

// How the body of a streamed answer is sent.
enum class BodyMode {
  none,         // no body may follow (HEAD, 204, 205, 304); pieces are to be dropped
  sized,        // exactly the announced bytes, as they are
  chunked,      // through append_chunk and append_last_chunk
  until_close,  // as it is; the end is told by closing, whatever keep_alive said
};

// The interim answer to "Expect: 100-continue".
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// "Not Found"; for codes without a registered phrase that of their class.
std::string_view reason_phrase(unsigned status);

// APPSERVER_OK, or APPSERVER_INVALID when an answer of a plugin must not be written: a status
// outside 200..599, a header name that is no token, a value with CR, LF or NUL, or a header that
// frames the message or the connection (Content-Length, Transfer-Encoding, Connection, Keep-Alive,
// Upgrade, TE, Trailer) or that is the host's own (Date).
std::int32_t validate(const appserver_http_response& response);

// A whole answer. `response` was found OK by validate(); under a coding its body is compressed,
// but to HEAD, where its length is not told then. "Content-Encoding: identity" goes to no client:
// with it a plugin excepts an answer from compression.
void write_response(std::string& out, const DateCache& date,
                    const appserver_http_response& response, const AnswerTo& request,
                    const Coding& coding = {});

// The head of a streamed answer: `response.body` is not looked at. With content_length >= 0 that
// many bytes are to follow; with -1 the body is chunked, or for HTTP/1.0 ended by closing the
// connection; -1, too, where it is compressed. `response` was found OK by validate().
BodyMode write_stream_head(std::string& out, const DateCache& date,
                           const appserver_http_response& response, std::int64_t content_length,
                           const AnswerTo& request, const Coding& coding = {});

// One chunk. An empty piece writes nothing, because an empty chunk would be the last.
void append_chunk(std::string& out, std::string_view piece);

void append_last_chunk(std::string& out);

// An answer of the host itself, with a line of text/plain that says why. `reason` goes to the
// client as it is.
void write_error(std::string& out, const DateCache& date, unsigned status, std::string_view reason,
                 const AnswerTo& request = {});

}  // namespace appserver::net::http

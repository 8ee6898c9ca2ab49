// Reads HTTP/1.x requests out of a connection's bytes. Pure: bytes in, requests out.
#pragma once

#include <appserver/abi/http.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/chunk_decoder.hpp"
#include "net/http/head_parser.hpp"
#include "net/http/head_scanner.hpp"
#include "net/http/limits.hpp"

namespace appserver::net::http {

enum class Progress {
  need_head,  // the head is not whole; nothing of it was consumed
  need_body,  // the head and the body so far are in the reader; everything was consumed
  complete,   // request() is whole
  refused,    // refusal() says why; answer it and close
};

struct Request {
  appserver_http_request
      view{};  // as the plugin sees it; `remote` is left for the connection to fill in
  bool keep_alive =
      false;  // the client wants, and its version allows, more requests on the connection
  bool head_method = false;  // the answer goes without its body
  bool expects_continue = false;
};

// One request at a time. What a reader makes of a stream does not depend on how it was cut into
// pieces.
//
// One reader may serve all connections that have whole requests in their input; it then holds no
// state between calls and allocates nothing once its header array has grown. A connection that is
// in the middle of a request (need_body, or need_head with bytes left over) keeps the reader until
// complete, so that nothing is scanned twice. A resource: pinned where it was built, because views
// point into it.
class RequestReader final {
 public:
  explicit RequestReader(const RequestLimits& limits);
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // `input` begins where the last call's `consumed` ended. After need_head that means: the same
  // bytes less `consumed` (empty lines before a request), with more appended. After complete the
  // next request begins.
  Progress read(std::string_view input, std::size_t& consumed);

  // After complete, until the next read() or reset() and while `input` lives: the views point into
  // `input` where the whole request was in it, otherwise into the reader. The body of a chunked
  // request is always in the reader.
  const Request& request() const { return request_; }
  Request& request() { return request_; }

  // After refused, until reset().
  const Refusal& refusal() const { return refusal_; }

  // True once for a request whose client waits for "100 Continue" (kContinue in
  // response_writer.hpp): after need_body, when no byte of the body has come yet.
  bool wants_continue();

  // Bytes of the body of the request at hand, transfer coding removed.
  std::uint64_t body_received() const { return body_received_; }

  // Forgets the request at hand, and big buffers with it.
  void reset();

 private:
  enum class Stage : std::uint8_t { head, sized_body, chunked_body, complete, refused };

  Progress refuse(const Refusal& refusal);
  Progress complete();
  bool skip_empty_lines(std::string_view& input, std::size_t& consumed);
  Progress read_head(std::string_view input, std::size_t& consumed);
  Progress begin_body(std::string_view head, std::string_view rest, std::size_t& consumed);
  Progress read_sized_body(std::string_view input, std::size_t& consumed);
  Progress read_chunked_body(std::string_view input, std::size_t& consumed);
  void make_view();
  void keep_head(std::string_view head);

  RequestLimits limits_;
  HeadScanner scanner_;
  ChunkDecoder decoder_;
  Head head_;
  std::vector<appserver_header> headers_;
  std::string head_bytes_;
  std::string body_;
  Request request_;
  Refusal refusal_;
  std::uint64_t body_received_ = 0;
  Stage stage_ = Stage::head;
  std::uint8_t empty_lines_ = 0;
  bool continue_wanted_ = false;
};

}  // namespace appserver::net::http

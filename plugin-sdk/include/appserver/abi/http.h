/* Extension "http/1": HTTP requests to a plugin, and its answers (RFC 9110, RFC 9112). Rules and
 * tags as in abi.h.
 *
 * The host parses, checks and limits; a plugin sees whole requests with their bodies. Each request
 * is an exchange with one answer, given during on_request or later. Answers go out in the order of
 * the requests of a connection.
 */
#ifndef APPSERVER_ABI_HTTP_H
#define APPSERVER_ABI_HTTP_H

#include <appserver/abi.h>
#include <appserver/abi/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_HTTP "http/1"

/* One request and its answer. Never reused: after the answer, or when the connection has ended,
 * calls give APPSERVER_GONE. That a client has left while its answer is deferred is noticed when
 * something is written to it; a plugin with on_client_gone is told before. */
typedef uint64_t appserver_exchange;

typedef struct appserver_header {
  appserver_str name;
  appserver_str value;
} appserver_header;

/* All views are valid until on_request returns; copy what a later answer needs. */
typedef struct appserver_http_request {
  uint32_t size;
  uint32_t version;     /* 10 or 11 */
  appserver_str method; /* as sent, case matters */
  appserver_str target; /* as sent */
  appserver_str path;   /* of the target, percent-encoding kept */
  appserver_str query;  /* behind the '?', percent-encoding kept; empty without one */
  /* In the order sent; white space around values removed, names as sent. */
  const appserver_header* headers; /* Host is that of an absolute target (RFC 9112 3.2.2) */
  uint32_t header_count;
  uint32_t header_stride;        /* bytes from one header to the next */
  appserver_str body;            /* whole, transfer coding removed */
  appserver_str remote;          /* "192.0.2.1:5123", "[2001:db8::1]:5123", "unix" or "unknown" */
  const appserver_tls_info* tls; /* NULL without TLS */
} appserver_http_request;

/* An answer. To HEAD, and with status 204 or 304, the host sends the head alone and drops the body.
 * The host adds Date, Content-Length or Transfer-Encoding, and Connection: headers of these names
 * and others that frame a message are refused (INVALID), as are names that are not a token and
 * values that hold CR, LF or NUL. What was refused changed nothing: another answer may be given.
 *
 * Where the group's configuration says so, the host compresses for clients that take it: then it
 * adds Content-Encoding and Vary, makes a strong ETag weak and drops Accept-Ranges. It leaves alone
 * what has a Content-Encoding, a Cache-Control with no-transform or a digest of its bytes, and
 * parts (206). "Content-Encoding: identity" excepts an answer, and is not sent. */
typedef struct appserver_http_response {
  uint32_t size;
  uint32_t status; /* 200 .. 599 */
  const appserver_header* headers;
  uint32_t header_count;
  uint32_t header_stride;
  appserver_str body;
} appserver_http_response;

/* Host side of "http/1". Everything passed in is copied or sent before the call returns. INVALID is
 * found within the call, on any thread; from another thread than the loop, OK means queued, and the
 * client may still turn out to be gone. */
typedef struct appserver_http_host {
  uint32_t size;
  uint32_t reserved;

  /* [any-thread] The whole answer, once. OK, GONE, INVALID. */
  int32_t (*respond)(appserver_worker* worker, appserver_exchange exchange,
                     const appserver_http_response* response) APPSERVER_NOEXCEPT;

  /* [loop, in on_request] The answer comes after on_request returned. Without this, returning with
   * no answer is an error. */
  int32_t (*defer)(appserver_worker* worker, appserver_exchange exchange) APPSERVER_NOEXCEPT;

  /* [any-thread] Begins a streamed answer: `response->body` is its first piece, `write` adds more,
   * `finish` ends it, on_request may return before that. OK, GONE, INVALID. With content_length >=
   * 0 exactly that many bytes must follow; with -1 the body is chunked (HTTP/1.0: ended by close).
   */
  int32_t (*start)(appserver_worker* worker, appserver_exchange exchange,
                   const appserver_http_response* response,
                   int64_t content_length) APPSERVER_NOEXCEPT;

  /* [any-thread] Adds a piece; an empty one does nothing. OK, GONE, INVALID (not started, or over
   * content_length). LIMIT: the client reads too slowly and more than the host's buffer bound is
   * waiting (128 KiB beyond what the kernel has taken); the piece was not taken. Try again after a
   * while, or abort; on the loop an empty piece asks whether there is room. From another thread
   * than the loop the bound counts what is queued. */
  int32_t (*write)(appserver_worker* worker, appserver_exchange exchange,
                   appserver_str piece) APPSERVER_NOEXCEPT;

  /* [any-thread] OK, GONE, or INVALID: not started, or content_length not reached, which also
   * aborts. */
  int32_t (*finish)(appserver_worker* worker, appserver_exchange exchange) APPSERVER_NOEXCEPT;

  /* [any-thread] Cuts the connection, so that the client sees that the answer is not whole. OK,
   * GONE. */
  int32_t (*abort)(appserver_worker* worker, appserver_exchange exchange) APPSERVER_NOEXCEPT;

  /* [any-thread] OK while an answer can still be given, else GONE. */
  int32_t (*alive)(appserver_worker* worker, appserver_exchange exchange) APPSERVER_NOEXCEPT;
} appserver_http_host;

/* Plugin side of "http/1". */
typedef struct appserver_http_plugin {
  uint32_t size;
  uint32_t reserved;

  /* [loop] ERROR, or OK with none of `respond`, `defer` and `start` called: the client gets 500.
   * ERROR after `defer` ends the exchange with 500, after `start` aborts it unless finished, after
   * `respond` leaves the answer as it is. */
  int32_t (*on_request)(void* self, const appserver_http_request* request,
                        appserver_exchange exchange) APPSERVER_NOEXCEPT;

  /* [loop] Nobody waits for the answer of this exchange any more: it was deferred or begun as a
   * stream, and the client has closed its connection, also only its sending half, or the connection
   * has ended otherwise. Once, and never for an exchange whose answer was given, finished or
   * aborted before. An exchange that is still alive goes on for clients that have closed one half:
   * answer or abort it. A worker that ends need not call it. */
  void (*on_client_gone)(void* self, appserver_exchange exchange) APPSERVER_NOEXCEPT;
} appserver_http_plugin;

#ifdef __cplusplus
}
#endif

#endif

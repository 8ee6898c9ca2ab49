/* Extension "client/1": what a plugin asks of others, over HTTP (RFC 9110, RFC 9112), on the
 * worker's loop. Rules and tags as in abi.h.
 *
 * The host resolves names, connects, keeps connections for the next call, speaks TLS 1.2 or newer
 * with the certificate and its host always checked, and bounds what it reads. A call does not keep
 * a draining worker alive by itself; an exchange of "http/1" that waits for it does.
 */
#ifndef APPSERVER_ABI_CLIENT_H
#define APPSERVER_ABI_CLIENT_H

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_CLIENT "client/1"

typedef uint64_t appserver_http_call; /* 0 is none; values are never reused within a worker */

/* Why there is no answer. */
#define APPSERVER_CALL_ANSWERED 0
#define APPSERVER_CALL_REQUEST 1  /* it cannot be sent: its URL, method or headers */
#define APPSERVER_CALL_CONNECT 2  /* no such name, refused, unreachable */
#define APPSERVER_CALL_TIMEOUT 3  /* connect_timeout_ms or timeout_ms */
#define APPSERVER_CALL_TLS 4      /* no handshake, or a certificate that is not good for the host */
#define APPSERVER_CALL_RESPONSE 5 /* what came is no HTTP that can be trusted */
#define APPSERVER_CALL_LOST 6     /* the connection ended before the answer was whole */
#define APPSERVER_CALL_TOO_LARGE 7 /* the answer's body is over max_body */
#define APPSERVER_CALL_LIMIT 8     /* a bound: connections, queue, calls, redirects */

/* A request. Views are copied before the call returns. Refused as headers are those that frame a
 * message (Content-Length, Transfer-Encoding, Connection, Upgrade, Expect, TE, Trailer), and values
 * that hold control characters. Times and sizes of 0 mean what is said behind them. */
typedef struct appserver_client_request {
  uint32_t size;
  uint32_t max_redirects; /* followed at most; 0: a redirect is an answer like others */
  appserver_str method;
  appserver_str url; /* http://host:port/path?query, https:// alike, http://unix:/socket:/target */
  const appserver_header* headers;
  uint32_t header_count;
  uint32_t header_stride; /* bytes from one header to the next */
  appserver_str body;
  uint64_t connect_timeout_ms; /* name, address and TLS together: 5 seconds */
  uint64_t timeout_ms;         /* the whole call: 30 seconds */
  uint64_t max_body;           /* of the answer, in bytes: 10 MiB */
  appserver_str ca_file;       /* PEM of those to trust; empty: those that the system trusts */
} appserver_client_request;

/* What became of it. Views are valid until the function that got it returns. */
typedef struct appserver_client_response {
  uint32_t size;
  uint32_t failure;      /* APPSERVER_CALL_* */
  appserver_str message; /* of a failure: "GET http://host/x: connection refused (127.0.0.1:9)" */
  uint32_t status;       /* 200 .. 999; 0 of a failure */
  uint32_t header_count;
  const appserver_header* headers; /* in the order sent, without trailers */
  uint32_t header_stride;
  uint32_t reserved;
  appserver_str body; /* whole; transfer coding removed, content coding kept */
} appserver_client_response;

/* Who gets an answer that comes in pieces. [loop] Views are valid until the function returns; each
 * may begin, pause, resume and cancel calls. */
typedef struct appserver_client_stream {
  uint32_t size;
  uint32_t reserved;

  /* Status and headers, without a body; at most once, and not of redirects that are followed. */
  void (*on_head)(void* argument, const appserver_client_response* head) APPSERVER_NOEXCEPT;

  /* Bytes of the body as they arrive, 64 KiB at most, never none. */
  void (*on_data)(void* argument, appserver_str piece) APPSERVER_NOEXCEPT;

  /* The answer is whole (`failure` is ANSWERED, `body` empty), or why it is not. Once, the last. */
  void (*on_end)(void* argument, const appserver_client_response* end) APPSERVER_NOEXCEPT;
} appserver_client_stream;

/* Host side of "client/1". [loop] Functions behind http_cancel came later: a host may lack them. */
typedef struct appserver_client_host {
  uint32_t size;
  uint32_t reserved;

  /* Begins a call. Its end is told by done(argument, response), once, on the loop, never within
   * this call, and not after http_cancel, nor once the worker stops. OK; INVALID: not on the loop,
   * or no `done`; GONE: the worker ends. Each other failure comes to `done`. */
  int32_t (*http_start)(appserver_worker* worker, const appserver_client_request* request,
                        void (*done)(void* argument, const appserver_client_response* response)
                            APPSERVER_NOEXCEPT,
                        void* argument, appserver_http_call* call) APPSERVER_NOEXCEPT;

  /* `done` is not called after this; what was sent is sent. NOT_FOUND: it is over. */
  int32_t (*http_cancel)(appserver_worker* worker, appserver_http_call call) APPSERVER_NOEXCEPT;

  /* As http_start, but the answer's body is never held whole: `stream`, which is copied, gets it in
   * pieces. max_body does not bound it, timeout_ms is that of the head and then of each further
   * piece; what is paused has no timeout. Results as of http_start; INVALID also without on_data or
   * on_end. */
  int32_t (*http_stream)(appserver_worker* worker, const appserver_client_request* request,
                         const appserver_client_stream* stream, void* argument,
                         appserver_http_call* call) APPSERVER_NOEXCEPT;

  /* Of a call of http_stream: no on_data and no on_end until http_resume; what the server sends
   * waits in the kernel, and then at the server. One without a head as yet gets that, or fails, all
   * the same. NOT_FOUND: it is over. */
  int32_t (*http_pause)(appserver_worker* worker, appserver_http_call call) APPSERVER_NOEXCEPT;
  int32_t (*http_resume)(appserver_worker* worker, appserver_http_call call) APPSERVER_NOEXCEPT;
} appserver_client_host;

#ifdef __cplusplus
}
#endif

#endif

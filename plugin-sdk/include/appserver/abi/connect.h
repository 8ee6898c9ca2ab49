/* Extension "connect/1": connections that a plugin opens to others, on the worker's loop. Rules and
 * tags as in abi.h.
 *
 * An open one is an appserver_connection as a client's is: all calls of "stream/1" work with it
 * (send, close, pause, pipe, info ...), under the same limits of the group, with messages framed as
 * abi/stream.h has it for the scheme of the URL. Its hooks are the functions below, not those of
 * the plugin's own table. It counts as no client, does not move to a successor, and does not keep a
 * draining worker alive: once all clients are served, the host closes it politely (a WebSocket with
 * 1001, TLS with close_notify, a second at most), then calls on_worker_stop.
 *
 * URLs: tcp, text, frame and ws, with TLS 1.2 or newer tls, text+tls, frame+tls and wss; each as
 * text://host:port or text://unix:/path/of/socket, WebSockets as ws://host/path?query or
 * ws://unix:/path/of/socket:/path. The certificate and its host are always checked; a unix
 * socket's is for localhost.
 */
#ifndef APPSERVER_ABI_CONNECT_H
#define APPSERVER_ABI_CONNECT_H

#include <appserver/abi.h>
#include <appserver/abi/client.h>
#include <appserver/abi/http.h>
#include <appserver/abi/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_CONNECT "connect/1"

/* One call of start, through all its attempts. 0 is none; values are never reused within a worker.
 */
typedef uint64_t appserver_connect;

#define APPSERVER_CONNECT_FOREVER UINT32_MAX /* retries */
#define APPSERVER_CONNECT_NO_MORE UINT64_MAX /* again_ms: there is no further attempt */

/* Views are copied before the call returns. Times of 0 mean what is said behind them. */
typedef struct appserver_connect_options {
  uint32_t size;
  /* How often in a row it is tried again, after an attempt that failed or a connection that ended;
   * the row ends with a connection that has lived for ten seconds. Not tried again: what the plugin
   * has closed itself, what the end of the worker closes, a URL or options that are wrong. */
  uint32_t retries;
  uint64_t connect_timeout_ms; /* name, address, TLS and a WebSocket's handshake: 5 seconds */
  /* The delay is anything from the minimum to a bound that doubles from twice the minimum to the
   * maximum. At least 10 ms: 500 ms and 30 seconds. */
  uint64_t min_delay_ms;
  uint64_t max_delay_ms;
  appserver_str ca_file; /* PEM of those to trust; empty: those that the system trusts */
  /* Of WebSockets: further headers of the request, without those of the handshake, and
   * subprotocols, wanted most first. */
  const appserver_header* headers;
  uint32_t header_count;
  uint32_t header_stride; /* bytes from one header to the next */
  const appserver_str* subprotocols;
  uint32_t subprotocol_count;
  uint32_t reserved;
} appserver_connect_options;

/* How a connection has ended. Views are valid until the function that got it returns. */
typedef struct appserver_connect_end {
  uint32_t size;
  uint32_t reason; /* APPSERVER_CLOSED_* */
  uint32_t code;   /* that a WebSocket's peer has closed with; 0: none */
  uint32_t reserved;
  appserver_str text; /* more of it, for a log */
  uint64_t again_ms;  /* until the next attempt; NO_MORE: none, and this call is the last one */
} appserver_connect_end;

/* What is called, with the `argument` of start. [loop]; each may be NULL but on_message. None is
 * called within start. Every function may call start, cancel, and "stream/1". */
typedef struct appserver_connect_events {
  uint32_t size;
  uint32_t reserved;

  /* It is open. ERROR, with the reason given to report_error: it is aborted, on_close follows, and
   * it is tried again. */
  int32_t (*on_open)(void* argument, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* As on_message of "stream/1"; where that closes it, it is tried again. */
  int32_t (*on_message)(void* argument, appserver_connection connection, uint32_t kind,
                        appserver_str message) APPSERVER_NOEXCEPT;

  /* It was open and has ended. Its context can still be read. */
  void (*on_close)(void* argument, appserver_connection connection,
                   const appserver_connect_end* end) APPSERVER_NOEXCEPT;

  /* As those of "stream/1". */
  void (*on_buffer_full)(void* argument, appserver_connection connection) APPSERVER_NOEXCEPT;
  void (*on_buffer_drain)(void* argument, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* An attempt has failed: `failure` is one of APPSERVER_CALL_* (REQUEST: the URL or an option is
   * wrong; RESPONSE: no WebSocket is spoken there), `why` says more:
   * "text://host:1: connection refused (127.0.0.1:1)". `again_ms` as in appserver_connect_end. */
  void (*on_failed)(void* argument, uint32_t failure, appserver_str why,
                    uint64_t again_ms) APPSERVER_NOEXCEPT;
} appserver_connect_events;

/* Host side of "connect/1". [loop] */
typedef struct appserver_connect_host {
  uint32_t size;
  uint32_t reserved;

  /* Begins. `events` is copied, `options` may be NULL. INVALID: not on the loop, or no on_message;
   * GONE: the worker ends; LIMIT: 16384 are under way or open. All else is told by on_failed. */
  int32_t (*start)(appserver_worker* worker, appserver_str url,
                   const appserver_connect_options* options, const appserver_connect_events* events,
                   void* argument, appserver_connect* connect) APPSERVER_NOEXCEPT;

  /* Nothing is called after this; an open connection is closed behind what waits to be sent, so
   * free its context before. NOT_FOUND: it is over. */
  int32_t (*cancel)(appserver_worker* worker, appserver_connect connect) APPSERVER_NOEXCEPT;
} appserver_connect_host;

#ifdef __cplusplus
}
#endif

#endif

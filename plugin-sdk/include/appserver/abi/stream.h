/* Extension "stream/1": connections that carry messages or bytes in both directions, for the
 * listeners ws://, tcp://, text:// and frame://, and for WebSockets that begin on an http://
 * listener. Rules and tags as in abi.h.
 *
 * What a message is depends on the listener:
 *   ws://     a WebSocket message (RFC 6455), whole and without its framing. The host answers pings
 * and closings, and compresses where the client agreed to it (RFC 7692). On http:// alike, where a
 * request asks for a WebSocket.
 *   text://   a line; LF ends it, the host takes the LF and a CR before it off, and puts an LF
 * behind what is sent.
 *   frame://  a length of four bytes, big-endian, that counts itself, then the message; the host
 * takes it off and puts it before what is sent.
 *   tcp://    whatever came at once, any bytes; or messages as `measure` of the plugin cuts them.
 * A message in either direction is bounded by limits.max_message.
 */
#ifndef APPSERVER_ABI_STREAM_H
#define APPSERVER_ABI_STREAM_H

#include <appserver/abi.h>
#include <appserver/abi/http.h>
#include <appserver/abi/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_STREAM "stream/1"

/* One connection. 0 is none; values are never reused within a worker. After on_close, or when the
 * connection has moved to the successor, calls give APPSERVER_GONE. */
typedef uint64_t appserver_connection;

/* How a connection ended. */
#define APPSERVER_CLOSED_BY_PEER 0
#define APPSERVER_CLOSED_BY_PLUGIN 1 /* close, abort, or an ERROR of a hook */
#define APPSERVER_CLOSED_TIMEOUT                                                                  \
  2                                 /* silent, or taking no bytes, for longer than the limits say \
                                     */
#define APPSERVER_CLOSED_PROTOCOL 3 /* what came is not of the listener's protocol */
#define APPSERVER_CLOSED_LIMIT 4    /* a message over limits.max_message */
#define APPSERVER_CLOSED_FAILURE 5  /* the network's: reset, unreachable */
#define APPSERVER_CLOSED_DRAINED 6  /* the worker ends */

/* Kinds of a message. What comes over text:// is TEXT, over frame:// and tcp:// BINARY; over a
 * WebSocket as the peer has it, and TEXT is UTF-8 then. */
#define APPSERVER_MESSAGE_BINARY 0
#define APPSERVER_MESSAGE_TEXT 1

/* Result of on_message: it failed, for the reason given to report_error, but the connection stays.
 */
#define APPSERVER_FAILED 100

/* The most that on_handover may give. */
#define APPSERVER_HANDOVER_STATE_MAX 65536u

/* Facts about a connection. The caller sets `size`; views are valid until the hook, timer or posted
 * call that asked returns. */
typedef struct appserver_connection_info {
  uint32_t size;
  uint32_t paused;               /* 1 after pause */
  appserver_str protocol;        /* "tcp", "text", "frame", "websocket" */
  appserver_str remote;          /* "192.0.2.1:5123", "[2001:db8::1]:5123", "unix" or "unknown" */
  appserver_str local;           /* alike */
  appserver_str listener;        /* as the configuration has it: "text://0.0.0.0:2000"; the URL of
                                    one of "connect/1" */
  uint64_t bytes_in;             /* in this worker, framing included */
  uint64_t bytes_out;            /* taken by the kernel */
  uint64_t unsent;               /* bytes that wait for the peer to take them */
  appserver_str subprotocol;     /* of a WebSocket, as on_websocket_open chose it; else empty */
  const appserver_tls_info* tls; /* NULL without TLS */
} appserver_connection_info;

/* What becomes of a WebSocket that a client asks for. The host sets `size` and zeroes the rest:
 * accepted, without a subprotocol. Texts are the plugin's and stay valid until the next hook. */
typedef struct appserver_websocket_answer {
  uint32_t size;
  uint32_t status;        /* 0: accepted; 400 .. 599: refused with this HTTP status */
  appserver_str body;     /* of a refusal: a line of text for the client; may be empty */
  appserver_str protocol; /* one of those that the client offered in Sec-WebSocket-Protocol */
} appserver_websocket_answer;

/* Host side of "stream/1". All calls are [loop]; from another thread they give INVALID and do
 * nothing (`post` of abi.h brings work to the loop). GONE: there is no such connection any more. */
typedef struct appserver_stream_host {
  uint32_t size;
  uint32_t reserved;

  /* Sends a message, framed as the listener's protocol has it; copied or sent before the call
   * returns. `kind` is APPSERVER_MESSAGE_*, and matters to a WebSocket only. LIMIT:
   * limits.send_buffer bytes or more wait for the peer already; the message was not taken,
   * on_buffer_drain says when to go on. INVALID: it cannot be a message of this protocol (a line
   * with LF in it, or CR at its end; a TEXT of a WebSocket that is not UTF-8), or is over
   * limits.max_message. GONE also where the connection is closing. */
  int32_t (*send)(appserver_worker* worker, appserver_connection connection, uint32_t kind,
                  appserver_str message) APPSERVER_NOEXCEPT;

  /* No on_message any more; what waits is sent, then the connection ends; on_close follows, not
   * within this call. A WebSocket tells its peer `code` (0: 1000) and `reason`, and has five
   * seconds for the peer's own closing; others ignore both. OK also where it is closing already.
   * INVALID: a code that may not be sent (RFC 6455, 7.4), or a reason that is over 123 bytes or not
   * UTF-8. */
  int32_t (*close)(appserver_worker* worker, appserver_connection connection, uint32_t code,
                   appserver_str reason) APPSERVER_NOEXCEPT;

  /* Ends it at once: what waits is lost, the peer sees a reset. on_close follows, not within this
   * call. */
  int32_t (*abort)(appserver_worker* worker, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* From now on no on_message of this connection: its bytes stay in the kernel, and the peer has to
   * wait. Counts for the message at hand, too: others that came with it wait. */
  int32_t (*pause)(appserver_worker* worker, appserver_connection connection) APPSERVER_NOEXCEPT;
  int32_t (*resume)(appserver_worker* worker, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* A pointer of the plugin's; NULL at first. The plugin frees what it points to, in on_close or
   * on_handover. */
  int32_t (*set_context)(appserver_worker* worker, appserver_connection connection,
                         void* context) APPSERVER_NOEXCEPT;
  void* (*context)(appserver_worker* worker, appserver_connection connection)APPSERVER_NOEXCEPT;

  /* OK, GONE. */
  int32_t (*info)(appserver_worker* worker, appserver_connection connection,
                  appserver_connection_info* info) APPSERVER_NOEXCEPT;

  /* What comes from `from` goes to `to` from now on, past on_message, no faster than `to` takes it,
   * until either ends; then the other is closed, too. Both must be tcp:// without `measure`. A
   * second call for the other direction makes a tunnel, each direction of which ends by itself: the
   * end of what one side sends goes along, and on_close follows when both have ended. INVALID,
   * GONE. */
  int32_t (*pipe)(appserver_worker* worker, appserver_connection from,
                  appserver_connection to) APPSERVER_NOEXCEPT;
} appserver_stream_host;

/* Plugin side of "stream/1". All hooks are [loop]; each may be NULL but on_message. */
typedef struct appserver_stream_plugin {
  uint32_t size;
  uint32_t reserved;

  /* A client has connected. ERROR: it is aborted, and on_close does not follow. */
  int32_t (*on_connect)(void* self, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* One message, valid until the hook returns; `kind` is APPSERVER_MESSAGE_*. ERROR: logged,
   * counted, and the connection is closed (a WebSocket with 1011). FAILED: logged and counted. */
  int32_t (*on_message)(void* self, appserver_connection connection, uint32_t kind,
                        appserver_str message) APPSERVER_NOEXCEPT;

  /* It has ended; `reason` is one of APPSERVER_CLOSED_*, `code` is what a WebSocket's peer has
   * closed with (0: none), `text` says more for a log: where the peer closed, its own words. Its
   * context can still be read. */
  void (*on_close)(void* self, appserver_connection connection, uint32_t reason, uint32_t code,
                   appserver_str text) APPSERVER_NOEXCEPT;

  /* limits.send_buffer bytes wait for the peer: send takes nothing until on_buffer_drain. */
  void (*on_buffer_full)(void* self, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* After on_buffer_full: a quarter of it is left. */
  void (*on_buffer_drain)(void* self, appserver_connection connection) APPSERVER_NOEXCEPT;

  /* The connection moves to this worker's successor, with unread and unsent bytes. OK, with what
   * on_adopt is to know in *state (at most APPSERVER_HANDOVER_STATE_MAX bytes, the plugin's, valid
   * until the next hook); no other hook follows for this connection here. ERROR, a state over the
   * bound, or no hook: it does not move; it is closed once the message at hand is answered, or
   * it was silent for a second, but not while it is paused. On tcp:// without `measure` only what
   * on_message sends before it returns is known to be an answer. */
  int32_t (*on_handover)(void* self, appserver_connection connection,
                         appserver_str* state) APPSERVER_NOEXCEPT;

  /* In place of on_connect: a connection comes from the predecessor, which may have run another
   * build. ERROR, or no hook: it is closed. */
  int32_t (*on_adopt)(void* self, appserver_connection connection,
                      appserver_str state) APPSERVER_NOEXCEPT;

  /* Own framing on tcp:// listeners: how many bytes the first message of `data` has, its framing
   * included, goes to *length; 0: that cannot be told yet, more bytes are needed. on_message gets
   * exactly these bytes, send puts nothing around what it is given. `data` is never empty, and is
   * shown from its beginning each time. ERROR: what came is no message, the connection is closed.
   */
  int32_t (*measure)(void* self, appserver_connection connection, appserver_str data,
                     uint64_t* length) APPSERVER_NOEXCEPT;

  /* In place of on_connect: a client asks for a WebSocket, with a well-formed opening handshake,
   * which is valid until the hook returns. What is sent from within goes out behind the host's
   * answer. No hook: on_connect is called, and the client is accepted unless that gives ERROR.
   * Refused, or ERROR (status 500): on_close does not follow. Whether the page that asks may is for
   * the plugin to say, by the header Origin. */
  int32_t (*on_websocket_open)(void* self, appserver_connection connection,
                               const appserver_http_request* request,
                               appserver_websocket_answer* answer) APPSERVER_NOEXCEPT;
} appserver_stream_plugin;

#ifdef __cplusplus
}
#endif

#endif

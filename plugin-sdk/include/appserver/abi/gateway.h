/* Extension "gateway/1": the clients of a gateway, for the plugins of business groups. Rules and
 * tags as in abi.h.
 *
 * The workers of a gateway group hold the clients' connections, and stay while business workers
 * come and go. Each client is with one business worker at a time, which gets its events in their
 * order; where that one ends, another goes on. An event is given once, or once more, with
 * `redelivered`, where a worker ended before it had acknowledged it. What is asked while an event
 * is being handled reaches the gateway before its acknowledgement.
 */
#ifndef APPSERVER_ABI_GATEWAY_H
#define APPSERVER_ABI_GATEWAY_H

#include <appserver/abi.h>
#include <appserver/abi/http.h>
#include <appserver/abi/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_GATEWAY "gateway/1"

#define APPSERVER_GATEWAY_NAME_MAX 255u /* of a uid or group; at least 1 */
#define APPSERVER_GATEWAY_SESSION_MAX 65536u
#define APPSERVER_GATEWAY_GROUPS_MAX 256u  /* that one client is in */
#define APPSERVER_GATEWAY_NAMED_MAX 65536u /* clients, uids or groups of one command */

/* Result of a hook: it will be acknowledged by `acknowledge`. */
#define APPSERVER_LATER 101

/* A client, in every worker of the gateway's business groups; never reused, not by another run
 * either. All 0 is none. */
typedef struct appserver_client_id {
  uint64_t gateway;
  uint64_t serial;
} appserver_client_id;

/* What is known here about a client that is with this worker. The caller sets `size`. Views are
 * valid until the hook, timer or posted call that asked returns; those of `uid` and `session` no
 * longer than until this worker gives that client another one. */
typedef struct appserver_client_info {
  uint32_t size;
  uint32_t reserved;
  appserver_str protocol; /* as in appserver_connection_info, like the next three */
  appserver_str remote;
  appserver_str local;
  appserver_str listener;
  appserver_str uid;        /* empty: none */
  appserver_str session;    /* opaque bytes that business code has set */
  uint64_t session_version; /* 0: never set. Each change gives another, told with the next event */
} appserver_client_info;

/* What a hook was called for. Valid until the hook returns; a copy is what to acknowledge with. */
typedef struct appserver_client_event {
  uint32_t size;
  uint32_t redelivered; /* 1: a worker that has ended may have seen it, and may have acted on it */
  uint64_t gateway;     /* names it, with the number, until it is acknowledged */
  uint64_t number;      /* both 0: nobody waits for an acknowledgement */
} appserver_client_event;

/* Whom a command is about: those of them that are connected, each once. */
#define APPSERVER_SCOPE_ALL 0u
#define APPSERVER_SCOPE_CLIENTS 1u /* these */
#define APPSERVER_SCOPE_UIDS 2u    /* all clients of these uids */
#define APPSERVER_SCOPE_GROUPS 3u  /* all clients in one of these groups, each once */

/* What each needs of a command, does, and gives in a result; where no status is named, OK alone. Of
 * several clients each is done by itself; the status is that of one that failed, if any. */

/* body, message_kind, except. Gives the count of those that it is for, those of `except` among
 * them. What a client's protocol cannot carry, or is over limits.max_message, is dropped and logged
 * by the gateway; a client with limits.send_buffer bytes unsent is cut. */
#define APPSERVER_VERB_SEND 1u
/* code, body: the reason; behind what was sent before. What may not be sent to a WebSocket's peer
 * (see close in stream.h) is logged by the gateway, and that one stays open. on_client_close
 * follows, as after DESTROY. */
#define APPSERVER_VERB_CLOSE 2u
/* At once: what waits for it is lost. */
#define APPSERVER_VERB_DESTROY 3u
/* name, which takes the place of the uid that it had. A uid has any number of clients. OK,
 * NO_CLIENT; INVALID: an empty name. */
#define APPSERVER_VERB_BIND_UID 4u
/* OK, also where it has none; NO_CLIENT. */
#define APPSERVER_VERB_UNBIND_UID 5u
/* name. OK, also where it is in it already; NO_CLIENT; FULL; INVALID: an empty name. */
#define APPSERVER_VERB_JOIN_GROUP 6u
/* name. OK, also where it is not in it; NO_CLIENT; INVALID: an empty name. */
#define APPSERVER_VERB_LEAVE_GROUP 7u
/* name: all leave it, whatever the scope; ALL reaches each gateway worker. */
#define APPSERVER_VERB_UNGROUP 8u
/* body, has_expected, expected; of one client. Gives the version that the session has then. OK,
 * NO_CLIENT, CONFLICT; INVALID: over APPSERVER_GATEWAY_SESSION_MAX. */
#define APPSERVER_VERB_SET_SESSION 9u

/* Those from here on only ask. */

/* The records of these clients, with their sessions. OK, TOO_LARGE. One that is not connected has
 * no record. */
#define APPSERVER_VERB_SESSION 10u
/* with_sessions. The records of these clients. OK, TOO_LARGE. */
#define APPSERVER_VERB_CLIENTS 11u
/* How many of them are connected. */
#define APPSERVER_VERB_COUNT 12u
/* The uids that they have, with the number of clients of each. OK, TOO_LARGE. */
#define APPSERVER_VERB_UIDS 13u
/* The groups that they are in, alike. */
#define APPSERVER_VERB_GROUPS 14u

/* The caller sets `size`, zeroes what it does not use, and keeps all: it is copied before the call
 * returns. At most APPSERVER_GATEWAY_NAMED_MAX of each list, and 32 MiB of body. */
typedef struct appserver_gateway_command {
  uint32_t size;
  uint32_t verb;
  uint32_t scope;
  uint32_t client_count;
  const appserver_client_id* clients;
  const appserver_str* names; /* of SCOPE_UIDS and SCOPE_GROUPS */
  uint32_t name_count;
  uint32_t except_count;
  const appserver_client_id* except; /* who gets nothing of a SEND */
  uint32_t message_kind;             /* of a SEND: APPSERVER_MESSAGE_* */
  uint32_t code;                     /* of a CLOSE of WebSockets; 0: 1000 */
  uint32_t with_sessions;            /* 0 or 1 */
  uint32_t has_expected; /* 1: SET_SESSION only where the session has the version `expected` */
  uint64_t expected;
  appserver_str name;
  appserver_str body;
} appserver_gateway_command;

/* How a command ended, besides OK. */
#define APPSERVER_GATEWAY_NO_CLIENT 300 /* none of those that it was about is connected */
#define APPSERVER_GATEWAY_CONFLICT 301  /* the session is of another version */
#define APPSERVER_GATEWAY_INVALID 302   /* a name or session of a wrong size */
#define APPSERVER_GATEWAY_FULL 303      /* the client is in APPSERVER_GATEWAY_GROUPS_MAX groups */
#define APPSERVER_GATEWAY_TOO_LARGE 304 /* over 32 MiB of a gateway worker: ask about fewer */

typedef struct appserver_client_record {
  appserver_client_id client;
  appserver_str uid;     /* empty: none */
  appserver_str session; /* where it was asked for */
  uint64_t session_version;
} appserver_client_record;

typedef struct appserver_named_count {
  appserver_str name;
  uint64_t count;
} appserver_named_count;

/* Views are valid until the call returns. Put together from all gateway workers; in no order. */
typedef struct appserver_gateway_result {
  uint32_t size;
  int32_t status;   /* OK, or APPSERVER_GATEWAY_* */
  uint32_t partial; /* 1: a gateway worker is away, or did not answer in time */
  uint32_t client_count;
  const appserver_client_record* clients;
  uint32_t client_stride; /* bytes from one record to the next */
  uint32_t name_count;
  const appserver_named_count* names;
  uint32_t name_stride;
  uint32_t reserved;
  uint64_t number; /* the count, over all gateway workers, or the session's version now */
} appserver_gateway_result;

/* [loop] Once, never before `ask` has returned; not after `forget`, and not at all once
 * on_worker_stop has returned. `argument` stays the plugin's. */
typedef void (*appserver_gateway_done)(void* argument,
                                       const appserver_gateway_result* result) APPSERVER_NOEXCEPT;

/* What the host offers. All [loop]; INVALID from another thread. Where the group is no business
 * group, or the plugin has no hooks of "gateway/1", there is no client and no gateway: NOT_FOUND of
 * client_info, GONE of the others. */
typedef struct appserver_gateway_host {
  uint32_t size;
  uint32_t reserved;

  /* OK, with as much of it as `size` says; NOT_FOUND where it is not with this worker. Of a client
   * that has ended until its on_client_close has returned. */
  int32_t (*client_info)(appserver_worker* worker, appserver_client_id client,
                         appserver_client_info* info) APPSERVER_NOEXCEPT;

  /* Does it without an answer. OK: it is on its way to the gateway workers. GONE: there is none, or
   * none that holds these clients. LIMIT: 64 MiB wait for one of them; nothing was sent. INVALID: a
   * command that is none, or over one of the bounds above. What becomes of it there is not told. */
  int32_t (*tell)(appserver_worker* worker,
                  const appserver_gateway_command* command) APPSERVER_NOEXCEPT;

  /* The same with an answer, which comes within `timeout_ms` (an hour at most), partial then; the
   * clock has steps of 100 ms. OK, with a number for `forget` in *request; INVALID; LIMIT as with
   * tell, or since 65,536 answers are waited for. Where there is no gateway worker the answer is
   * partial, and empty. Over 256 MiB of all gateway workers together it is TOO_LARGE. */
  int32_t (*ask)(appserver_worker* worker, const appserver_gateway_command* command,
                 uint64_t timeout_ms, appserver_gateway_done done, void* argument,
                 uint64_t* request) APPSERVER_NOEXCEPT;

  /* There is no answer from now on. What was asked is done all the same. OK, also for one that was
   * answered. */
  int32_t (*forget)(appserver_worker* worker, uint64_t request) APPSERVER_NOEXCEPT;

  /* Of an event whose hook gave LATER; also within the hook. OK, once; GONE where it was
   * acknowledged before, or its gateway worker has ended. Of one client 64 events are given without
   * acknowledgement, of all 1024 by a gateway worker: no more come to a worker that owes these. */
  int32_t (*acknowledge)(appserver_worker* worker,
                         const appserver_client_event* event) APPSERVER_NOEXCEPT;
} appserver_gateway_host;

/* Plugin side of "gateway/1". All hooks are [loop]; each may be NULL but on_client_message, without
 * which none is called. OK, or LATER; ERROR is logged and counted, and the client stays. The event
 * is acknowledged when the hook returns, but for LATER. What a hook gets is valid until it returns.
 */
typedef struct appserver_gateway_plugin {
  uint32_t size;
  uint32_t reserved;

  /* The first one of a client, unless another worker has had that. */
  int32_t (*on_client_connect)(void* self, appserver_client_id client,
                               const appserver_client_event* event) APPSERVER_NOEXCEPT;

  /* Behind on_client_connect, of one over ws:// or wss://: the request that it began with, without
   * body and TLS facts. The WebSocket is open already. */
  int32_t (*on_client_websocket_open)(void* self, appserver_client_id client,
                                      const appserver_http_request* request,
                                      const appserver_client_event* event) APPSERVER_NOEXCEPT;

  /* `kind` and `message` as in on_message of stream.h. */
  int32_t (*on_client_message)(void* self, appserver_client_id client, uint32_t kind,
                               appserver_str message,
                               const appserver_client_event* event) APPSERVER_NOEXCEPT;

  /* The last one of a client; `reason`, `code` and `text` as in on_close of stream.h. Where its
   * gateway worker has ended, FAILURE. */
  int32_t (*on_client_close)(void* self, appserver_client_id client, uint32_t reason, uint32_t code,
                             appserver_str text,
                             const appserver_client_event* event) APPSERVER_NOEXCEPT;
} appserver_gateway_plugin;

#ifdef __cplusplus
}
#endif

#endif

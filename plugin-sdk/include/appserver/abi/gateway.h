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

/* What is known here about a client that is with this worker. The caller sets `size`; views are
 * valid until the hook, timer or posted call that asked returns. */
typedef struct appserver_client_info {
  uint32_t size;
  uint32_t reserved;
  appserver_str protocol; /* as in appserver_connection_info, like the next three */
  appserver_str remote;
  appserver_str local;
  appserver_str listener;
  appserver_str uid;        /* empty: none */
  appserver_str session;    /* opaque bytes that business code has set */
  uint64_t session_version; /* 0: never set. Each change gives another */
} appserver_client_info;

/* What a hook was called for. */
typedef struct appserver_client_event {
  uint32_t size;
  uint32_t redelivered; /* 1: a worker that has ended may have seen it, and may have acted on it */
  uint64_t gateway;     /* names it, with the number, until it is acknowledged */
  uint64_t number;
} appserver_client_event;

/* Whom a command is about. */
#define APPSERVER_SCOPE_ALL 0u
#define APPSERVER_SCOPE_CLIENTS 1u
#define APPSERVER_SCOPE_UIDS 2u   /* all clients of these uids */
#define APPSERVER_SCOPE_GROUPS 3u /* all clients in one of these groups, each once */

#define APPSERVER_VERB_SEND 1u     /* body, message_kind, except */
#define APPSERVER_VERB_CLOSE 2u    /* code, body: the reason; behind what was sent before */
#define APPSERVER_VERB_DESTROY 3u  /* at once */
#define APPSERVER_VERB_BIND_UID 4u /* name; a client has one uid, a uid any number of clients */
#define APPSERVER_VERB_UNBIND_UID 5u
#define APPSERVER_VERB_JOIN_GROUP 6u  /* name */
#define APPSERVER_VERB_LEAVE_GROUP 7u /* name */
#define APPSERVER_VERB_UNGROUP 8u     /* name: all leave it; of scope ALL */
#define APPSERVER_VERB_SET_SESSION 9u /* body, expected; of one client. Gives the version */
/* Those from here on only ask. */
#define APPSERVER_VERB_SESSION 10u /* the records of these clients, with their sessions */
#define APPSERVER_VERB_CLIENTS 11u /* the records of these clients; with_sessions */
#define APPSERVER_VERB_COUNT 12u   /* how many of them are connected */
#define APPSERVER_VERB_UIDS 13u    /* the uids that they have, with the number of clients of each */
#define APPSERVER_VERB_GROUPS 14u  /* the groups that they are in, alike */

/* The caller sets `size`, zeroes what it does not use, and keeps all. */
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

/* How a command ended. */
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
  uint64_t number; /* the count, or the session's version now */
} appserver_gateway_result;

/* Runs on the loop, once, never before `ask` has returned; not at all once on_worker_stop has
 * returned. */
typedef void (*appserver_gateway_done)(void* argument,
                                       const appserver_gateway_result* result) APPSERVER_NOEXCEPT;

/* What the host offers. All [loop]; INVALID from another thread. */
typedef struct appserver_gateway_host {
  uint32_t size;
  uint32_t reserved;

  /* OK, or NOT_FOUND where it is not with this worker. */
  int32_t (*client_info)(appserver_worker* worker, appserver_client_id client,
                         appserver_client_info* info) APPSERVER_NOEXCEPT;

  /* Does it without an answer. OK: it is on its way to the gateway workers. GONE: there is none, or
   * none that holds these clients. LIMIT: 64 MiB wait for one of them; nothing was sent. INVALID: a
   * command that is none. */
  int32_t (*tell)(appserver_worker* worker,
                  const appserver_gateway_command* command) APPSERVER_NOEXCEPT;

  /* The same with an answer, which comes within `timeout_ms`, partial then. OK, with a number for
   * `forget` in *request; LIMIT, INVALID. Where there is no gateway worker the answer says so. */
  int32_t (*ask)(appserver_worker* worker, const appserver_gateway_command* command,
                 uint64_t timeout_ms, appserver_gateway_done done, void* argument,
                 uint64_t* request) APPSERVER_NOEXCEPT;

  /* There is no answer from now on. What was asked is done all the same. */
  int32_t (*forget)(appserver_worker* worker, uint64_t request) APPSERVER_NOEXCEPT;

  /* Of an event whose hook gave LATER. GONE where its gateway worker has ended. */
  int32_t (*acknowledge)(appserver_worker* worker,
                         const appserver_client_event* event) APPSERVER_NOEXCEPT;
} appserver_gateway_host;

/* Plugin side of "gateway/1". All hooks are [loop]; each may be NULL but on_client_message. OK, or
 * LATER; ERROR is logged and counted. The event is acknowledged when the hook returns, but for
 * LATER. */
typedef struct appserver_gateway_plugin {
  uint32_t size;
  uint32_t reserved;

  int32_t (*on_client_connect)(void* self, appserver_client_id client,
                               const appserver_client_event* event) APPSERVER_NOEXCEPT;

  /* Behind on_client_connect, of one over ws:// or wss://: the request that it began with. The
   * WebSocket is open already. */
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

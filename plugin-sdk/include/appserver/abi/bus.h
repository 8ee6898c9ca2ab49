/* Extension "bus/1": messages between all workers of this daemon, and keys and values that they
 * share. Rules and tags as in abi.h.
 *
 * What is published reaches every worker of every group that has subscribed to the topic, also the
 * one that published it; what one worker publishes comes in its order. Nothing is kept for who
 * subscribes later. Keys outlive reloads and crashes of workers, but neither the daemon nor a crash
 * of its bus process, after which they are gone and `on_reset` tells.
 *
 * A topic or key has 1 to 255 bytes, a message or value at most 64 KiB.
 */
#ifndef APPSERVER_ABI_BUS_H
#define APPSERVER_ABI_BUS_H

#include <appserver/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_BUS "bus/1"

#define APPSERVER_BUS_NAME_MAX 255u
#define APPSERVER_BUS_VALUE_MAX 65536u

/* Further results. */
#define APPSERVER_BUS_CONFLICT 200    /* the condition did not hold */
#define APPSERVER_BUS_UNREACHABLE 201 /* no answer within 2 s: it may have been done or not */

/* Of set: whether the key must be absent, or be of a version. */
#define APPSERVER_BUS_ALWAYS 0u
#define APPSERVER_BUS_IF_ABSENT 1u
#define APPSERVER_BUS_IF_VERSION 2u

typedef uint64_t appserver_subscription; /* 0 is none; values are never reused */

typedef struct appserver_bus_result {
  uint32_t size;
  /* OK; NOT_FOUND: no such key; BUS_CONFLICT; LIMIT: the bound of all keys is reached, of which
   * a group alone can take seven eighths; INVALID: not a number, or the sum is none of 64 bits;
   * BUS_UNREACHABLE. */
  int32_t status;
  uint64_t version; /* of the key as it is now; 0 where it is absent. Each change gives another */
  int64_t number;   /* of add: the sum */
  appserver_str value; /* of get; until the call returns */
} appserver_bus_result;

/* Runs on the loop, once, never before the function that was given it has returned; not at all once
 * on_worker_stop has returned. */
typedef void (*appserver_bus_done)(void* argument,
                                   const appserver_bus_result* result) APPSERVER_NOEXCEPT;

/* What the host offers. All [loop]; a function that gives another result than OK has done nothing
 * and calls nothing: INVALID for a name or value of a wrong size, LIMIT over the host's bounds of
 * what may be under way, GONE once the worker ends. */
typedef struct appserver_bus_host {
  uint32_t size;
  uint32_t reserved;

  /* Never waits. While the bus cannot be reached a message waits for at most 2 s; then it is
   * dropped, and the daemon's log says how many were. */
  int32_t (*publish)(appserver_worker* worker, appserver_str topic,
                     appserver_str message) APPSERVER_NOEXCEPT;

  /* call(argument, message, lost) for each message; `lost` counts those of the topic that were
   * dropped before this one because this worker did not fetch them in time. At most 1000 topics.
   * The bus does all that a worker asks in its order: once an operation that was begun after this
   * has ended with another status than BUS_UNREACHABLE, the subscription is in force. */
  int32_t (*subscribe)(appserver_worker* worker, appserver_str topic,
                       void (*call)(void* argument, appserver_str message, uint64_t lost)
                           APPSERVER_NOEXCEPT,
                       void* argument, appserver_subscription* subscription) APPSERVER_NOEXCEPT;

  /* After this there is no call. NOT_FOUND if it ended before. */
  int32_t (*unsubscribe)(appserver_worker* worker,
                         appserver_subscription subscription) APPSERVER_NOEXCEPT;

  int32_t (*get)(appserver_worker* worker, appserver_str key, appserver_bus_done done,
                 void* argument) APPSERVER_NOEXCEPT;

  /* ttl_ms 0: for ever. `version` is looked at for IF_VERSION; 0: the key is absent. */
  int32_t (*set)(appserver_worker* worker, appserver_str key, appserver_str value, uint64_t ttl_ms,
                 uint32_t condition, uint64_t version, appserver_bus_done done,
                 void* argument) APPSERVER_NOEXCEPT;

  /* Adds to a value that is a number in decimal. A key that is absent counts as 0 and gets this
   * time to live; one that is there keeps its own. */
  int32_t (*add)(appserver_worker* worker, appserver_str key, int64_t delta, uint64_t ttl_ms,
                 appserver_bus_done done, void* argument) APPSERVER_NOEXCEPT;

  int32_t (*erase)(appserver_worker* worker, appserver_str key, appserver_bus_done done,
                   void* argument) APPSERVER_NOEXCEPT;

  /* From now on call(argument) each time that the bus is reached again after it was lost: messages
   * may have been missed, and the keys may be gone. Subscriptions go on by themselves, and are in
   * force again before what the call asks of the bus is done. NULL: no call. */
  int32_t (*on_reset)(appserver_worker* worker, void (*call)(void* argument) APPSERVER_NOEXCEPT,
                      void* argument) APPSERVER_NOEXCEPT;
} appserver_bus_host;

#ifdef __cplusplus
}
#endif

#endif

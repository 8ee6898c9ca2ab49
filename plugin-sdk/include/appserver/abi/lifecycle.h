/* Extension "lifecycle/1": what a worker leaves to its successor, and when it begins to drain.
 * Rules and tags as in abi.h.
 *
 * A state is bytes with a version that only plugins give a meaning to: another build may get what
 * this one leaves, also an older one, in a rollback. It goes from the worker that is replaced to
 * the next one of its slot: in a reload, a rollback, a rollout that goes back, a recycling, and
 * where a worker drained and stopped by itself (SIGTERM). A worker that crashed, that was killed,
 * or whose save_state failed or took longer than two seconds leaves nothing: its successor starts
 * empty, and the log says so. Nothing is kept over a restart of the daemon.
 */
#ifndef APPSERVER_ABI_LIFECYCLE_H
#define APPSERVER_ABI_LIFECYCLE_H

#include <appserver/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_LIFECYCLE "lifecycle/1"

/* The most bytes that a state may have. */
#define APPSERVER_STATE_MAX 16777216u

/* The side that asks sets `size` and zeroes the rest. */
typedef struct appserver_state {
  uint32_t size;
  uint32_t version; /* of the layout of `data`; the plugin's own */
  appserver_str data;
} appserver_state;

/* Host side of "lifecycle/1". */
typedef struct appserver_lifecycle_host {
  uint32_t size;
  uint32_t reserved;

  /* [loop] What the slot's worker before has left; `data` is valid until on_worker_start returns,
   * and afterwards there is none. OK; NOT_FOUND: it has left nothing, or there was none; INVALID:
   * from another thread. */
  int32_t (*predecessor_state)(appserver_worker* worker, appserver_state* state) APPSERVER_NOEXCEPT;
} appserver_lifecycle_host;

/* Plugin side of "lifecycle/1". Hooks are [loop]; each may be NULL. */
typedef struct appserver_lifecycle_plugin {
  uint32_t size;
  uint32_t reserved;

  /* What the next worker of this slot is to know. Called when that one is about to start, while
   * this one goes on serving: what changes from here on does not go along. Where the two may not
   * run side by side (too little memory, one that ended by itself), called right before
   * on_worker_stop. Once for each successor: again, where one did not get as far as to serve. OK,
   * with *state (`data` is the plugin's, valid until the next hook); NOT_FOUND: nothing; ERROR, or
   * more than APPSERVER_STATE_MAX bytes: logged, and nothing goes along. */
  int32_t (*save_state)(void* self, appserver_state* state) APPSERVER_NOEXCEPT;

  /* The worker has stopped accepting connections and ends once what is under way is answered, at
   * the latest after reload.drain_timeout: end what would go on for ever, such as streams. Requests
   * may still come, on connections that were open. Once at most; a worker that is killed gets none.
   */
  void (*on_worker_drain)(void* self) APPSERVER_NOEXCEPT;
} appserver_lifecycle_plugin;

#ifdef __cplusplus
}
#endif

#endif

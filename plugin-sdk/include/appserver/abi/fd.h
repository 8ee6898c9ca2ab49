/* Extension "fd/1": descriptors of the plugin's own on the worker's loop, so that libraries with an
 * interface for foreign event loops (libpq, hiredis, curl) join it. Rules and tags as in abi.h.
 *
 * The descriptor stays the plugin's: the host never reads, writes, duplicates or closes it. Take
 * the watch back before the descriptor is closed; a watch whose descriptor was closed first is told
 * of nothing any more, and taking it back then touches no descriptor that has the number since.
 */
#ifndef APPSERVER_ABI_FD_H
#define APPSERVER_ABI_FD_H

#include <appserver/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_FD "fd/1"

/* 0 is none; values are never reused. */
typedef uint64_t appserver_fd_watch;

/* What to wait for, and what has come; more than one joined by |. An error or a hang-up of the
 * other side counts as each that is waited for: the next read or write tells which it is. */
#define APPSERVER_FD_READ 1u
#define APPSERVER_FD_WRITE 2u

/* What the host offers. */
typedef struct appserver_fd_host {
  uint32_t size;
  uint32_t reserved;

  /* [loop] Runs call(argument, events) on the loop while one of `events` is so: again and again,
   * until what there is was read, or the events are changed (level-triggered, as poll(2)). Never
   * before watch returns, nor after the watch was taken back or on_worker_stop has returned.
   * Without events it waits for none, not even for errors. A watch does not keep a draining worker
   * alive. `argument` stays the plugin's. OK with *watch; INVALID for a descriptor that is not
   * open, is watched already or cannot be waited for (a regular file), and for unknown events;
   * LIMIT over the host's bound of watches; ERROR where the system refuses; GONE once the worker
   * ends. */
  int32_t (*watch)(appserver_worker* worker, int32_t fd, uint32_t events,
                   void (*call)(void* argument, uint32_t events) APPSERVER_NOEXCEPT, void* argument,
                   appserver_fd_watch* watch) APPSERVER_NOEXCEPT;

  /* [loop] From now on these events. Also from the watch's own call. NOT_FOUND if it was taken
   * back; else as watch. */
  int32_t (*change)(appserver_worker* worker, appserver_fd_watch watch,
                    uint32_t events) APPSERVER_NOEXCEPT;

  /* [loop] After this there is no call. Also from the watch's own call. NOT_FOUND if it was taken
   * back. */
  int32_t (*unwatch)(appserver_worker* worker, appserver_fd_watch watch) APPSERVER_NOEXCEPT;
} appserver_fd_host;

#ifdef __cplusplus
}
#endif

#endif

/* The appserverd plugin ABI, core. C11 and C++17 or newer; fixed-width types; append-only structs.
 *
 * A plugin is a shared object that exports exactly one symbol, `appserver_plugin_v1`, and carries
 * an ELF note
 * `.note.appserver` (abi/note.h) that can be read without running it. The host (a worker of
 * appserverd) loads it once, in a process of its own, and never unloads it.
 *
 * Rules that hold for every function here and in abi/ *.h:
 *  - Structs begin with `size`, the sizeof of the side that made them. A field is present if it
 * lies within `size` (APPSERVER_HAS); a function pointer may also be NULL. Fields are only ever
 * appended. Arrays of structs come with a stride. What was in minor 0 is always present;
 * later fields say which minor brought them.
 *  - `appserver_str` is a borrowed view, not NUL-terminated, valid until the call returns unless
 * said otherwise.
 *  - Memory is freed by the side that allocated it.
 *  - No exception crosses. Every function pointer is `noexcept` in C++, as part of its type.
 *  - [loop] marks functions and hooks that run on the worker's one event-loop thread; [any-thread]
 * may be called from any. No function of the host calls back into the plugin before it returns, so
 * a plugin may hold its own locks.
 *  - Names of extensions are "name/REVISION". Asking for one that the other side lacks gives NULL.
 */
#ifndef APPSERVER_ABI_H
#define APPSERVER_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define APPSERVER_NOEXCEPT noexcept
extern "C" {
#else
#define APPSERVER_NOEXCEPT
#endif

#define APPSERVER_EXPORT __attribute__((visibility("default")))

/* Whether *pointer, of type `type`, has `field`. */
#ifdef __cplusplus
#define APPSERVER_HAS(type, pointer, field) \
  ((pointer)->size >= offsetof(type, field) + sizeof(type::field))
#else
#define APPSERVER_HAS(type, pointer, field) \
  ((pointer)->size >= offsetof(type, field) + sizeof(((type*)0)->field))
#endif

/* Same major: compatible. A plugin's minor may not be newer than the host's. */
#define APPSERVER_ABI_MAJOR 1
#define APPSERVER_ABI_MINOR 1

typedef struct appserver_str {
  const char* data;
  size_t size;
} appserver_str;

/* Results of calls in both directions. Unknown values are errors. */
#define APPSERVER_OK 0
#define APPSERVER_ERROR 1 /* failed; the reason was given to report_error */
#define APPSERVER_GONE 2  /* the handle's object no longer exists */
#define APPSERVER_NOT_FOUND 3
#define APPSERVER_INVALID 4 /* an argument or the order of calls is wrong */
#define APPSERVER_LIMIT 5   /* a bound of the host was reached */

#define APPSERVER_LOG_DEBUG 0
#define APPSERVER_LOG_INFO 1
#define APPSERVER_LOG_WARNING 2
#define APPSERVER_LOG_ERROR 3

#define APPSERVER_METRIC_COUNTER 0 /* only ever added to */
#define APPSERVER_METRIC_GAUGE 1

/* The worker that a plugin runs in. Opaque; lives as long as the process. */
typedef struct appserver_worker appserver_worker;

typedef uint64_t appserver_timer;  /* 0 is no timer; values are never reused */
typedef uint64_t appserver_metric; /* 0 is no metric */

/* Facts about this worker; strings live as long as the process. */
typedef struct appserver_worker_info {
  uint32_t size;
  uint32_t slot;       /* 0 .. count-1 */
  uint64_t generation; /* counts the workers started in this slot */
  appserver_str group;
  appserver_str build; /* SHA-256 of the plugin file, in hex */
} appserver_worker_info;

/* What the host offers. One table a process, valid for its life. */
typedef struct appserver_host {
  uint32_t size;
  uint16_t abi_major;
  uint16_t abi_minor;

  /* [any-thread] Table of an optional service, such as "http/1" (abi/http.h); NULL where this host
   * lacks it. */
  const void* (*extension)(const char* name)APPSERVER_NOEXCEPT;

  /* [any-thread] */
  const appserver_worker_info* (*info)(appserver_worker* worker)APPSERVER_NOEXCEPT;

  /* [any-thread] A line in the daemon's log. Never blocks; over its bound the line is dropped and
   * counted. */
  void (*log)(appserver_worker* worker, int32_t level, appserver_str message) APPSERVER_NOEXCEPT;

  /* [loop, in a hook] Why this hook is about to return APPSERVER_ERROR. The last call before the
   * return counts. */
  void (*report_error)(appserver_worker* worker, appserver_str message) APPSERVER_NOEXCEPT;

  /* [any-thread] The group's `settings:` subtree. `path` joins keys and list positions with dots
   * ("db.hosts.0"); the empty path is the whole. A scalar comes as its text, null as the empty
   * text, a map or list as JSON. (A key that holds a dot is reached through the JSON of its map.)
   * The text lives as long as the process. OK or NOT_FOUND. */
  int32_t (*setting)(appserver_worker* worker, appserver_str path,
                     appserver_str* value) APPSERVER_NOEXCEPT;

  /* [any-thread] Runs call(argument) on the loop, in the order posted, never before post returns.
   * What is still queued when on_worker_stop has returned is not run; `argument` stays the
   * plugin's. OK, LIMIT, or GONE once the worker ends. */
  int32_t (*post)(appserver_worker* worker, void (*call)(void* argument) APPSERVER_NOEXCEPT,
                  void* argument) APPSERVER_NOEXCEPT;

  /* [loop] Runs call(argument) after delay_ms, and if every_ms is not 0 each every_ms from then on;
   * a loop that was late does not catch up on missed turns. Timers do not keep a draining worker
   * alive, unanswered exchanges do. 0 if the host's bound is reached. */
  appserver_timer (*timer_start)(appserver_worker* worker, uint64_t delay_ms, uint64_t every_ms,
                                 void (*call)(void* argument) APPSERVER_NOEXCEPT,
                                 void* argument) APPSERVER_NOEXCEPT;

  /* [loop] After this call the timer does not fire again; it may be made from the timer's own call.
   * NOT_FOUND if it already ended. */
  int32_t (*timer_cancel)(appserver_worker* worker, appserver_timer timer) APPSERVER_NOEXCEPT;

  /* [loop] Finds or makes a metric by name ([a-z_][a-z0-9_]*, at most 47 characters). 0 if the name
   * is invalid, is in use with another kind, or the worker's 64 metrics are taken. */
  appserver_metric (*metric)(appserver_worker* worker, int32_t kind,
                             appserver_str name) APPSERVER_NOEXCEPT;

  /* [any-thread] A counter ignores values below 0. */
  void (*metric_add)(appserver_worker* worker, appserver_metric metric,
                     double value) APPSERVER_NOEXCEPT;

  /* [any-thread] Gauges only. */
  void (*metric_set)(appserver_worker* worker, appserver_metric metric,
                     double value) APPSERVER_NOEXCEPT;
} appserver_host;

/* What a plugin is. The one exported symbol is of this type; every hook runs on the loop. Their
 * order: create, then on_worker_start, then any number of others, on_worker_stop, destroy. A worker
 * that failed to start goes straight to destroy. A build with self_check is tried first, before any
 * worker is touched, in a process of its own: create, self_check, destroy. */
typedef struct appserver_plugin {
  uint32_t size;
  uint16_t abi_major;
  uint16_t abi_minor;
  const char* name;
  const char* version;

  /* Makes the plugin's state. `host` and `worker` may be kept. ERROR as in on_worker_start; no hook
   * follows then. Required. */
  int32_t (*create)(const appserver_host* host, appserver_worker* worker,
                    void** self) APPSERVER_NOEXCEPT;

  /* Ends it; no hook, timer or posted call follows. Required. */
  void (*destroy)(void* self) APPSERVER_NOEXCEPT;

  /* The worker is about to serve. ERROR: this worker fails to start, and with it the rollout that
   * started it. */
  int32_t (*on_worker_start)(void* self) APPSERVER_NOEXCEPT;

  /* A reload went by and this worker was kept, because its group has `reloadable: false`. */
  void (*on_worker_reload)(void* self) APPSERVER_NOEXCEPT;

  /* The worker has drained and ends after this: no timer, posted call or hook but destroy follows.
   * Join your threads here, without waiting for anything that they posted. */
  void (*on_worker_stop)(void* self) APPSERVER_NOEXCEPT;

  /* The plugin's table for an extension, such as "http/1"; NULL where it has none. The table lives
   * as long as the process; it is asked for before create. */
  const void* (*extension)(const char* name)APPSERVER_NOEXCEPT;

  /* Since ABI 1.1. Whether this build could serve with this group's settings: files that can be
   * read, tables that are not empty. Runs in a throw-away process that has the settings and the log
   * but no requests, and in which no timer or posted call ever runs; it has the start_timeout. The
   * workers that serve go on meanwhile, so leave alone what only one process may hold. ERROR: the
   * build is refused, and nothing is touched. */
  int32_t (*self_check)(void* self) APPSERVER_NOEXCEPT;
} appserver_plugin;

#define APPSERVER_PLUGIN_SYMBOL "appserver_plugin_v1"
extern APPSERVER_EXPORT const appserver_plugin appserver_plugin_v1;

#ifdef __cplusplus
}
#endif

#endif

/* Extension "udp/1": datagrams, for udp:// listeners. Rules and tags as in abi.h.
 *
 * A datagram comes whole, once, and alone; an answer leaves from the address and port where the
 * datagram came in. Nothing is known of whether it arrives: that is for the protocol above.
 */
#ifndef APPSERVER_ABI_UDP_H
#define APPSERVER_ABI_UDP_H

#include <appserver/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define APPSERVER_UDP "udp/1"

/* Where an answer goes, and from where: a value to be copied and kept as one likes, valid in the
 * worker that gave it for as long as that lives. What is in it is the host's. */
typedef struct appserver_udp_peer {
  uint64_t opaque[6];
} appserver_udp_peer;

/* One datagram. Views are valid until the hook returns. */
typedef struct appserver_datagram {
  uint32_t size;
  uint32_t truncated;     /* 1: it was longer than limits.max_message, and this is its beginning */
  appserver_str data;     /* may be empty: a datagram without data is one, too */
  appserver_str remote;   /* "192.0.2.1:5123" or "[2001:db8::1]:5123" */
  appserver_str listener; /* as the configuration has it: "udp://0.0.0.0:53" */
  appserver_udp_peer peer;
} appserver_datagram;

/* Host side of "udp/1". All calls are [loop]; from another thread they give INVALID and do nothing
 * (`post` of abi.h brings work to the loop). */
typedef struct appserver_udp_host {
  uint32_t size;
  uint32_t reserved;

  /* Sends one datagram to the peer; copied before the call returns, and never queued by the host.
   * LIMIT: the kernel's buffer is full; counted, and the datagram is not sent. INVALID: longer than
   * a datagram can be (65507 bytes over IPv4), no peer of this worker's, or an address that it
   * listens at itself. ERROR: the kernel
   * refuses, as for a peer that no route leads to. GONE: the worker serves nothing. */
  int32_t (*send)(appserver_worker* worker, const appserver_udp_peer* peer,
                  appserver_str data) APPSERVER_NOEXCEPT;

  /* An answer is still to come: a worker that drains waits for it, at most until drain_timeout.
   * Each `hold` wants one `release`. LIMIT: 1000000 are held already. */
  int32_t (*hold)(appserver_worker* worker) APPSERVER_NOEXCEPT;
  int32_t (*release)(appserver_worker* worker) APPSERVER_NOEXCEPT;
} appserver_udp_host;

/* Plugin side of "udp/1". All hooks are [loop]. */
typedef struct appserver_udp_plugin {
  uint32_t size;
  uint32_t reserved;

  /* ERROR: logged and counted; the next datagram comes as if nothing were. */
  int32_t (*on_datagram)(void* self, const appserver_datagram* datagram) APPSERVER_NOEXCEPT;
} appserver_udp_plugin;

#ifdef __cplusplus
}
#endif

#endif

/* The ELF note of a plugin, section `.note.appserver`: what it is and which ABI it was built for,
 * readable from the file without running it (elf(5), Nhdr). Little-endian machines only; the host
 * checks ELF class and machine first. Define it once a plugin: `APPSERVER_NOTE("name", "1.0.0");`.
 * A name has at most 63 bytes, a version 31. */
#ifndef APPSERVER_ABI_NOTE_H
#define APPSERVER_ABI_NOTE_H

#include <appserver/abi.h>

#define APPSERVER_SDK_VERSION "0.1.0"
#define APPSERVER_NOTE_SECTION ".note.appserver"
#define APPSERVER_NOTE_OWNER "appserver" /* 10 bytes with its NUL, padded to 12 */
#define APPSERVER_NOTE_TYPE 1u
#define APPSERVER_NOTE_MAGIC 0x31565341u /* "ASV1" */

#define APPSERVER_NOTE_FLAG_ASAN 1u
#define APPSERVER_NOTE_FLAG_TSAN 2u

/* Strings are NUL-terminated and padded with NUL. */
typedef struct appserver_note_body {
  uint32_t magic;
  uint32_t size; /* of this struct */
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t flags;
  char sdk[16];
  char name[64];
  char version[32];
} appserver_note_body;

typedef struct appserver_note {
  uint32_t owner_size;
  uint32_t body_size;
  uint32_t type;
  char owner[12];
  appserver_note_body body;
} appserver_note;

#if defined(__SANITIZE_ADDRESS__)
#define APPSERVER_NOTE_FLAGS APPSERVER_NOTE_FLAG_ASAN
#elif defined(__SANITIZE_THREAD__)
#define APPSERVER_NOTE_FLAGS APPSERVER_NOTE_FLAG_TSAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define APPSERVER_NOTE_FLAGS APPSERVER_NOTE_FLAG_ASAN
#elif __has_feature(thread_sanitizer)
#define APPSERVER_NOTE_FLAGS APPSERVER_NOTE_FLAG_TSAN
#endif
#endif
#ifndef APPSERVER_NOTE_FLAGS
#define APPSERVER_NOTE_FLAGS 0u
#endif

/* clang's AddressSanitizer would put padding behind the note, and thereby into its section. */
#if defined(__clang__)
#define APPSERVER_NOTE_UNPADDED __attribute__((no_sanitize("address")))
#else
#define APPSERVER_NOTE_UNPADDED
#endif

#define APPSERVER_NOTE(plugin_name, plugin_version)                                       \
  APPSERVER_NOTE_UNPADDED static const appserver_note appserver_plugin_note               \
      __attribute__((section(APPSERVER_NOTE_SECTION), used, aligned(4))) = {              \
          10u,                                                                            \
          sizeof(appserver_note_body),                                                    \
          APPSERVER_NOTE_TYPE,                                                            \
          APPSERVER_NOTE_OWNER,                                                           \
          {APPSERVER_NOTE_MAGIC, sizeof(appserver_note_body), APPSERVER_ABI_MAJOR,        \
           APPSERVER_ABI_MINOR, APPSERVER_NOTE_FLAGS, APPSERVER_SDK_VERSION, plugin_name, \
           plugin_version}}

#endif

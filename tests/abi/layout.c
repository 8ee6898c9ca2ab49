/* Prints the layout of every struct of the ABI, one "struct.field offset size" a line. Fields may
 * be appended; a line that changes breaks every plugin built before. */
#include <appserver/abi.h>
#include <appserver/abi/http.h>
#include <appserver/abi/note.h>
#include <stdio.h>

#define STRUCT(s) printf("%s size %zu align %zu\n", #s, sizeof(s), _Alignof(s))
#define FIELD(s, f) printf("%s.%s %zu %zu\n", #s, #f, offsetof(s, f), sizeof(((s*)0)->f))

static void core(void) {
  STRUCT(appserver_str);
  FIELD(appserver_str, data);
  FIELD(appserver_str, size);
  STRUCT(appserver_worker_info);
  FIELD(appserver_worker_info, size);
  FIELD(appserver_worker_info, slot);
  FIELD(appserver_worker_info, generation);
  FIELD(appserver_worker_info, group);
  FIELD(appserver_worker_info, build);
  STRUCT(appserver_host);
  FIELD(appserver_host, size);
  FIELD(appserver_host, abi_major);
  FIELD(appserver_host, abi_minor);
  FIELD(appserver_host, extension);
  FIELD(appserver_host, info);
  FIELD(appserver_host, log);
  FIELD(appserver_host, report_error);
  FIELD(appserver_host, setting);
  FIELD(appserver_host, post);
  FIELD(appserver_host, timer_start);
  FIELD(appserver_host, timer_cancel);
  FIELD(appserver_host, metric);
  FIELD(appserver_host, metric_add);
  FIELD(appserver_host, metric_set);
  STRUCT(appserver_plugin);
  FIELD(appserver_plugin, size);
  FIELD(appserver_plugin, abi_major);
  FIELD(appserver_plugin, abi_minor);
  FIELD(appserver_plugin, name);
  FIELD(appserver_plugin, version);
  FIELD(appserver_plugin, create);
  FIELD(appserver_plugin, destroy);
  FIELD(appserver_plugin, on_worker_start);
  FIELD(appserver_plugin, on_worker_reload);
  FIELD(appserver_plugin, on_worker_stop);
  FIELD(appserver_plugin, extension);
  FIELD(appserver_plugin, self_check);
}

static void http(void) {
  STRUCT(appserver_header);
  FIELD(appserver_header, name);
  FIELD(appserver_header, value);
  STRUCT(appserver_http_request);
  FIELD(appserver_http_request, size);
  FIELD(appserver_http_request, version);
  FIELD(appserver_http_request, method);
  FIELD(appserver_http_request, target);
  FIELD(appserver_http_request, path);
  FIELD(appserver_http_request, query);
  FIELD(appserver_http_request, headers);
  FIELD(appserver_http_request, header_count);
  FIELD(appserver_http_request, header_stride);
  FIELD(appserver_http_request, body);
  FIELD(appserver_http_request, remote);
  STRUCT(appserver_http_response);
  FIELD(appserver_http_response, size);
  FIELD(appserver_http_response, status);
  FIELD(appserver_http_response, headers);
  FIELD(appserver_http_response, header_count);
  FIELD(appserver_http_response, header_stride);
  FIELD(appserver_http_response, body);
  STRUCT(appserver_http_host);
  FIELD(appserver_http_host, size);
  FIELD(appserver_http_host, reserved);
  FIELD(appserver_http_host, respond);
  FIELD(appserver_http_host, defer);
  FIELD(appserver_http_host, start);
  FIELD(appserver_http_host, write);
  FIELD(appserver_http_host, finish);
  FIELD(appserver_http_host, abort);
  FIELD(appserver_http_host, alive);
  STRUCT(appserver_http_plugin);
  FIELD(appserver_http_plugin, size);
  FIELD(appserver_http_plugin, reserved);
  FIELD(appserver_http_plugin, on_request);
}

static void note(void) {
  STRUCT(appserver_note_body);
  FIELD(appserver_note_body, magic);
  FIELD(appserver_note_body, size);
  FIELD(appserver_note_body, abi_major);
  FIELD(appserver_note_body, abi_minor);
  FIELD(appserver_note_body, flags);
  FIELD(appserver_note_body, sdk);
  FIELD(appserver_note_body, name);
  FIELD(appserver_note_body, version);
  STRUCT(appserver_note);
  FIELD(appserver_note, owner_size);
  FIELD(appserver_note, body_size);
  FIELD(appserver_note, type);
  FIELD(appserver_note, owner);
  FIELD(appserver_note, body);
}

int main(void) {
  core();
  http();
  note();
  return 0;
}

/* Prints the layout of every struct of the ABI, one "struct.field offset size" a line. Fields may
 * be appended; a line that changes breaks every plugin built before. */
#include <appserver/abi.h>
#include <appserver/abi/bus.h>
#include <appserver/abi/client.h>
#include <appserver/abi/connect.h>
#include <appserver/abi/fd.h>
#include <appserver/abi/gateway.h>
#include <appserver/abi/http.h>
#include <appserver/abi/lifecycle.h>
#include <appserver/abi/note.h>
#include <appserver/abi/stream.h>
#include <appserver/abi/tls.h>
#include <appserver/abi/udp.h>
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
  STRUCT(appserver_tls_info);
  FIELD(appserver_tls_info, size);
  FIELD(appserver_tls_info, version);
  FIELD(appserver_tls_info, cipher);
  FIELD(appserver_tls_info, alpn);
  FIELD(appserver_tls_info, server_name);
  FIELD(appserver_tls_info, client_subject);
  FIELD(appserver_tls_info, client_fingerprint);
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
  FIELD(appserver_http_request, tls);
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
  FIELD(appserver_http_plugin, on_client_gone);
}

static void fd(void) {
  STRUCT(appserver_fd_host);
  FIELD(appserver_fd_host, size);
  FIELD(appserver_fd_host, reserved);
  FIELD(appserver_fd_host, watch);
  FIELD(appserver_fd_host, change);
  FIELD(appserver_fd_host, unwatch);
}

static void bus(void) {
  STRUCT(appserver_bus_result);
  FIELD(appserver_bus_result, size);
  FIELD(appserver_bus_result, status);
  FIELD(appserver_bus_result, version);
  FIELD(appserver_bus_result, number);
  FIELD(appserver_bus_result, value);
  STRUCT(appserver_bus_host);
  FIELD(appserver_bus_host, size);
  FIELD(appserver_bus_host, reserved);
  FIELD(appserver_bus_host, publish);
  FIELD(appserver_bus_host, subscribe);
  FIELD(appserver_bus_host, unsubscribe);
  FIELD(appserver_bus_host, get);
  FIELD(appserver_bus_host, set);
  FIELD(appserver_bus_host, add);
  FIELD(appserver_bus_host, erase);
  FIELD(appserver_bus_host, on_reset);
}

static void client(void) {
  STRUCT(appserver_client_request);
  FIELD(appserver_client_request, size);
  FIELD(appserver_client_request, max_redirects);
  FIELD(appserver_client_request, method);
  FIELD(appserver_client_request, url);
  FIELD(appserver_client_request, headers);
  FIELD(appserver_client_request, header_count);
  FIELD(appserver_client_request, header_stride);
  FIELD(appserver_client_request, body);
  FIELD(appserver_client_request, connect_timeout_ms);
  FIELD(appserver_client_request, timeout_ms);
  FIELD(appserver_client_request, max_body);
  FIELD(appserver_client_request, ca_file);
  STRUCT(appserver_client_response);
  FIELD(appserver_client_response, size);
  FIELD(appserver_client_response, failure);
  FIELD(appserver_client_response, message);
  FIELD(appserver_client_response, status);
  FIELD(appserver_client_response, header_count);
  FIELD(appserver_client_response, headers);
  FIELD(appserver_client_response, header_stride);
  FIELD(appserver_client_response, reserved);
  FIELD(appserver_client_response, body);
  STRUCT(appserver_client_stream);
  FIELD(appserver_client_stream, size);
  FIELD(appserver_client_stream, reserved);
  FIELD(appserver_client_stream, on_head);
  FIELD(appserver_client_stream, on_data);
  FIELD(appserver_client_stream, on_end);
  STRUCT(appserver_client_host);
  FIELD(appserver_client_host, size);
  FIELD(appserver_client_host, reserved);
  FIELD(appserver_client_host, http_start);
  FIELD(appserver_client_host, http_cancel);
  FIELD(appserver_client_host, http_stream);
  FIELD(appserver_client_host, http_pause);
  FIELD(appserver_client_host, http_resume);
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

static void lifecycle(void) {
  STRUCT(appserver_state);
  FIELD(appserver_state, size);
  FIELD(appserver_state, version);
  FIELD(appserver_state, data);
  STRUCT(appserver_lifecycle_host);
  FIELD(appserver_lifecycle_host, size);
  FIELD(appserver_lifecycle_host, reserved);
  FIELD(appserver_lifecycle_host, predecessor_state);
  STRUCT(appserver_lifecycle_plugin);
  FIELD(appserver_lifecycle_plugin, size);
  FIELD(appserver_lifecycle_plugin, reserved);
  FIELD(appserver_lifecycle_plugin, save_state);
  FIELD(appserver_lifecycle_plugin, on_worker_drain);
}

static void udp(void) {
  STRUCT(appserver_udp_peer);
  FIELD(appserver_udp_peer, opaque);
  STRUCT(appserver_datagram);
  FIELD(appserver_datagram, size);
  FIELD(appserver_datagram, truncated);
  FIELD(appserver_datagram, data);
  FIELD(appserver_datagram, remote);
  FIELD(appserver_datagram, listener);
  FIELD(appserver_datagram, peer);
  STRUCT(appserver_udp_host);
  FIELD(appserver_udp_host, size);
  FIELD(appserver_udp_host, reserved);
  FIELD(appserver_udp_host, send);
  FIELD(appserver_udp_host, hold);
  FIELD(appserver_udp_host, release);
  STRUCT(appserver_udp_plugin);
  FIELD(appserver_udp_plugin, size);
  FIELD(appserver_udp_plugin, reserved);
  FIELD(appserver_udp_plugin, on_datagram);
}

static void stream(void) {
  STRUCT(appserver_connection_info);
  FIELD(appserver_connection_info, size);
  FIELD(appserver_connection_info, paused);
  FIELD(appserver_connection_info, protocol);
  FIELD(appserver_connection_info, remote);
  FIELD(appserver_connection_info, local);
  FIELD(appserver_connection_info, listener);
  FIELD(appserver_connection_info, bytes_in);
  FIELD(appserver_connection_info, bytes_out);
  FIELD(appserver_connection_info, unsent);
  FIELD(appserver_connection_info, subprotocol);
  FIELD(appserver_connection_info, tls);
  STRUCT(appserver_websocket_answer);
  FIELD(appserver_websocket_answer, size);
  FIELD(appserver_websocket_answer, status);
  FIELD(appserver_websocket_answer, body);
  FIELD(appserver_websocket_answer, protocol);
  STRUCT(appserver_stream_host);
  FIELD(appserver_stream_host, size);
  FIELD(appserver_stream_host, reserved);
  FIELD(appserver_stream_host, send);
  FIELD(appserver_stream_host, close);
  FIELD(appserver_stream_host, abort);
  FIELD(appserver_stream_host, pause);
  FIELD(appserver_stream_host, resume);
  FIELD(appserver_stream_host, set_context);
  FIELD(appserver_stream_host, context);
  FIELD(appserver_stream_host, info);
  FIELD(appserver_stream_host, pipe);
  STRUCT(appserver_stream_plugin);
  FIELD(appserver_stream_plugin, size);
  FIELD(appserver_stream_plugin, reserved);
  FIELD(appserver_stream_plugin, on_connect);
  FIELD(appserver_stream_plugin, on_message);
  FIELD(appserver_stream_plugin, on_close);
  FIELD(appserver_stream_plugin, on_buffer_full);
  FIELD(appserver_stream_plugin, on_buffer_drain);
  FIELD(appserver_stream_plugin, on_handover);
  FIELD(appserver_stream_plugin, on_adopt);
  FIELD(appserver_stream_plugin, measure);
  FIELD(appserver_stream_plugin, on_websocket_open);
}

static void tls(void) {
  STRUCT(appserver_tls_info);
  FIELD(appserver_tls_info, size);
  FIELD(appserver_tls_info, reserved);
  FIELD(appserver_tls_info, version);
  FIELD(appserver_tls_info, cipher);
  FIELD(appserver_tls_info, alpn);
  FIELD(appserver_tls_info, server_name);
  FIELD(appserver_tls_info, client_subject);
  FIELD(appserver_tls_info, client_fingerprint);
}

static void connect_(void) {
  STRUCT(appserver_connect_options);
  FIELD(appserver_connect_options, size);
  FIELD(appserver_connect_options, retries);
  FIELD(appserver_connect_options, connect_timeout_ms);
  FIELD(appserver_connect_options, min_delay_ms);
  FIELD(appserver_connect_options, max_delay_ms);
  FIELD(appserver_connect_options, ca_file);
  FIELD(appserver_connect_options, headers);
  FIELD(appserver_connect_options, header_count);
  FIELD(appserver_connect_options, header_stride);
  FIELD(appserver_connect_options, subprotocols);
  FIELD(appserver_connect_options, subprotocol_count);
  FIELD(appserver_connect_options, reserved);
  STRUCT(appserver_connect_end);
  FIELD(appserver_connect_end, size);
  FIELD(appserver_connect_end, reason);
  FIELD(appserver_connect_end, code);
  FIELD(appserver_connect_end, reserved);
  FIELD(appserver_connect_end, text);
  FIELD(appserver_connect_end, again_ms);
  STRUCT(appserver_connect_events);
  FIELD(appserver_connect_events, size);
  FIELD(appserver_connect_events, reserved);
  FIELD(appserver_connect_events, on_open);
  FIELD(appserver_connect_events, on_message);
  FIELD(appserver_connect_events, on_close);
  FIELD(appserver_connect_events, on_buffer_full);
  FIELD(appserver_connect_events, on_buffer_drain);
  FIELD(appserver_connect_events, on_failed);
  STRUCT(appserver_connect_host);
  FIELD(appserver_connect_host, size);
  FIELD(appserver_connect_host, reserved);
  FIELD(appserver_connect_host, start);
  FIELD(appserver_connect_host, cancel);
}

static void gateway(void) {
  STRUCT(appserver_client_id);
  FIELD(appserver_client_id, gateway);
  FIELD(appserver_client_id, serial);
  STRUCT(appserver_client_info);
  FIELD(appserver_client_info, size);
  FIELD(appserver_client_info, reserved);
  FIELD(appserver_client_info, protocol);
  FIELD(appserver_client_info, remote);
  FIELD(appserver_client_info, local);
  FIELD(appserver_client_info, listener);
  FIELD(appserver_client_info, uid);
  FIELD(appserver_client_info, session);
  FIELD(appserver_client_info, session_version);
  STRUCT(appserver_client_event);
  FIELD(appserver_client_event, size);
  FIELD(appserver_client_event, redelivered);
  FIELD(appserver_client_event, gateway);
  FIELD(appserver_client_event, number);
  STRUCT(appserver_gateway_command);
  FIELD(appserver_gateway_command, size);
  FIELD(appserver_gateway_command, verb);
  FIELD(appserver_gateway_command, scope);
  FIELD(appserver_gateway_command, client_count);
  FIELD(appserver_gateway_command, clients);
  FIELD(appserver_gateway_command, names);
  FIELD(appserver_gateway_command, name_count);
  FIELD(appserver_gateway_command, except_count);
  FIELD(appserver_gateway_command, except);
  FIELD(appserver_gateway_command, message_kind);
  FIELD(appserver_gateway_command, code);
  FIELD(appserver_gateway_command, with_sessions);
  FIELD(appserver_gateway_command, has_expected);
  FIELD(appserver_gateway_command, expected);
  FIELD(appserver_gateway_command, name);
  FIELD(appserver_gateway_command, body);
  STRUCT(appserver_client_record);
  FIELD(appserver_client_record, client);
  FIELD(appserver_client_record, uid);
  FIELD(appserver_client_record, session);
  FIELD(appserver_client_record, session_version);
  STRUCT(appserver_named_count);
  FIELD(appserver_named_count, name);
  FIELD(appserver_named_count, count);
  STRUCT(appserver_gateway_result);
  FIELD(appserver_gateway_result, size);
  FIELD(appserver_gateway_result, status);
  FIELD(appserver_gateway_result, partial);
  FIELD(appserver_gateway_result, client_count);
  FIELD(appserver_gateway_result, clients);
  FIELD(appserver_gateway_result, client_stride);
  FIELD(appserver_gateway_result, name_count);
  FIELD(appserver_gateway_result, names);
  FIELD(appserver_gateway_result, name_stride);
  FIELD(appserver_gateway_result, reserved);
  FIELD(appserver_gateway_result, number);
  STRUCT(appserver_gateway_host);
  FIELD(appserver_gateway_host, size);
  FIELD(appserver_gateway_host, reserved);
  FIELD(appserver_gateway_host, client_info);
  FIELD(appserver_gateway_host, tell);
  FIELD(appserver_gateway_host, ask);
  FIELD(appserver_gateway_host, forget);
  FIELD(appserver_gateway_host, acknowledge);
  STRUCT(appserver_gateway_plugin);
  FIELD(appserver_gateway_plugin, size);
  FIELD(appserver_gateway_plugin, reserved);
  FIELD(appserver_gateway_plugin, on_client_connect);
  FIELD(appserver_gateway_plugin, on_client_websocket_open);
  FIELD(appserver_gateway_plugin, on_client_message);
  FIELD(appserver_gateway_plugin, on_client_close);
}

int main(void) {
  core();
  http();
  client();
  note();
  fd();
  lifecycle();
  udp();
  bus();
  stream();
  tls();
  connect_();
  gateway();
  return 0;
}

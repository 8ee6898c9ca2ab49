/* The hello plugin in C, over the ABI alone: GET /?name=you answers "GREETING, you", GET /healthz
 * answers "ok". */
#include <appserver/abi.h>
#include <appserver/abi/http.h>
#include <appserver/abi/note.h>
#include <stdlib.h>
#include <string.h>

typedef struct hello {
  const appserver_host* host;
  const appserver_http_host* http;
  appserver_worker* worker;
  appserver_str greeting; /* lives as long as the process */
} hello;

static appserver_str text(const char* literal) {
  const appserver_str view = {literal, strlen(literal)};
  return view;
}

static int equal(appserver_str a, appserver_str b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Decodes `encoded` to `out`, which has room for encoded.size bytes. 0 where a '%' lacks its two
 * digits. */
static int decode(appserver_str encoded, char* out, size_t* size) {
  *size = 0;
  for (size_t i = 0; i < encoded.size; ++i) {
    char c = encoded.data[i];
    if (c == '+') c = ' ';
    if (c == '%') {
      if (encoded.size - i < 3) return 0;
      const int high = hex(encoded.data[i + 1]);
      const int low = hex(encoded.data[i + 2]);
      if (high < 0 || low < 0) return 0;
      c = (char)(high * 16 + low);
      i += 2;
    }
    out[(*size)++] = c;
  }
  return 1;
}

/* The value of the first "name=" in a query, still encoded; `fallback` without one. */
static appserver_str parameter(appserver_str query, appserver_str name, appserver_str fallback) {
  const char* at = query.data;
  size_t left = query.size;
  while (left > 0) {
    const char* const ampersand = memchr(at, '&', left);
    const size_t size = ampersand != NULL ? (size_t)(ampersand - at) : left;
    if (size > name.size && at[name.size] == '=' && memcmp(at, name.data, name.size) == 0) {
      const appserver_str value = {at + name.size + 1, size - name.size - 1};
      return value;
    }
    const size_t step = ampersand != NULL ? size + 1 : size;
    at += step;
    left -= step;
  }
  return fallback;
}

static int32_t answer(const hello* self, appserver_exchange exchange, uint32_t status,
                      appserver_str body) {
  const appserver_header type = {text("Content-Type"), text("text/plain; charset=utf-8")};
  const appserver_http_response response = {sizeof response, status, &type, 1, sizeof type, body};
  const int32_t result = self->http->respond(self->worker, exchange, &response);
  return result == APPSERVER_GONE ? APPSERVER_OK : result;
}

static int32_t greet(const hello* self, appserver_str name, appserver_exchange exchange) {
  char* const line = malloc(self->greeting.size + name.size + 3);
  if (line == NULL) {
    self->host->report_error(self->worker, text("out of memory"));
    return APPSERVER_ERROR;
  }
  size_t size = self->greeting.size;
  size_t decoded = 0;
  if (size > 0) memcpy(line, self->greeting.data, size);
  memcpy(line + size, ", ", 2);
  size += 2;
  int32_t result = APPSERVER_OK;
  if (decode(name, line + size, &decoded)) {
    size += decoded;
    line[size++] = '\n';
    const appserver_str body = {line, size};
    result = answer(self, exchange, 200, body);
  } else {
    result = answer(self, exchange, 400,
                    text("query parameter \"name\" is not percent-encoded rightly\n"));
  }
  free(line);
  return result;
}

static int32_t on_request(void* state, const appserver_http_request* request,
                          appserver_exchange exchange) {
  const hello* const self = state;
  if (equal(request->path, text("/healthz"))) return answer(self, exchange, 200, text("ok\n"));
  return greet(self, parameter(request->query, text("name"), text("world")), exchange);
}

static int32_t create(const appserver_host* host, appserver_worker* worker, void** state) {
  hello* const self = calloc(1, sizeof *self);
  if (self == NULL) return APPSERVER_ERROR;
  self->host = host;
  self->worker = worker;
  self->http = host->extension(APPSERVER_HTTP);
  if (self->http == NULL) {
    host->report_error(worker, text("the host lacks " APPSERVER_HTTP));
    free(self);
    return APPSERVER_ERROR;
  }
  *state = self;
  return APPSERVER_OK;
}

static int32_t on_worker_start(void* state) {
  hello* const self = state;
  if (self->host->setting(self->worker, text("greeting"), &self->greeting) != APPSERVER_OK) {
    self->greeting = text("hello");
  }
  return APPSERVER_OK;
}

static void destroy(void* state) { free(state); }

static const void* extension(const char* name) {
  static const appserver_http_plugin http = {.size = sizeof http, .on_request = on_request};
  return strcmp(name, APPSERVER_HTTP) == 0 ? &http : NULL;
}

APPSERVER_NOTE("hello-c", "1.0.0");

const appserver_plugin appserver_plugin_v1 = {
    .size = sizeof(appserver_plugin),
    .abi_major = APPSERVER_ABI_MAJOR,
    .abi_minor = APPSERVER_ABI_MINOR,
    .name = "hello-c",
    .version = "1.0.0",
    .create = create,
    .destroy = destroy,
    .on_worker_start = on_worker_start,
    .extension = extension,
};

#include "worker/client_host.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "telemetry/worker_page.hpp"
#include "worker/abi_text.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

namespace client = net::client;

client::HttpRequest to_request(const appserver_client_request& given) {
  // An older plugin's may be shorter.
  appserver_client_request raw{};
  std::memcpy(&raw, &given, std::min<std::size_t>(given.size, sizeof(raw)));
  client::HttpRequest request;
  request.method = string_of(raw.method);
  request.url = string_of(raw.url);
  request.body = string_of(raw.body);
  const void* const first = raw.headers;
  for (std::uint32_t i = 0; i < raw.header_count; ++i) {
    const void* const at = static_cast<const char*>(first) + std::size_t{i} * raw.header_stride;
    const auto* const header = static_cast<const appserver_header*>(at);
    request.fields.push_back({string_of(header->name), string_of(header->value)});
  }
  set_time(request.options.connect_timeout, raw.connect_timeout_ms);
  set_time(request.options.timeout, raw.timeout_ms);
  if (raw.max_body != 0) request.options.max_body = raw.max_body;
  request.options.max_redirects = raw.max_redirects;
  request.options.ca_file = string_of(raw.ca_file);
  return request;
}

template <class Tell>
void tell_response(const client::HttpResponse& response, Tell&& tell) {
  std::vector<appserver_header> headers;
  headers.reserve(response.fields.size());
  for (const client::Field& field : response.fields)
    headers.push_back({view(field.name), view(field.value)});
  appserver_client_response raw{};
  raw.size = sizeof(raw);
  raw.status = response.status;
  raw.headers = headers.data();
  raw.header_count = static_cast<std::uint32_t>(headers.size());
  raw.header_stride = sizeof(appserver_header);
  raw.body = view(response.body);
  tell(raw);
}

template <class Tell>
void tell_result(const client::CallResult& result, Tell&& tell) {
  if (const auto* const failed = std::get_if<client::CallFailed>(&result)) {
    appserver_client_response raw{};
    raw.size = sizeof(raw);
    raw.header_stride = sizeof(appserver_header);
    raw.failure = static_cast<std::uint32_t>(failed->failure);
    raw.message = view(failed->why);
    tell(raw);
  } else {
    tell_response(std::get<client::HttpResponse>(result), tell);
  }
}

}  // namespace

std::int32_t ClientHost::http_start(const appserver_client_request& request,
                                    void (*done)(void*, const appserver_client_response*) noexcept,
                                    void* argument, appserver_http_call& call) {
  if (!host_.on_loop() || done == nullptr) return APPSERVER_INVALID;
  if (stopped_) return APPSERVER_GONE;
  call = http_.start(to_request(request), [this, done, argument](const client::CallResult& result) {
    tell_result(result, [&](const appserver_client_response& raw) {
      const telemetry::InHook in_hook(host_.page(), telemetry::Hook::call_done);
      done(argument, &raw);
    });
  });
  return APPSERVER_OK;
}

std::int32_t ClientHost::http_stream(const appserver_client_request& request,
                                     const appserver_client_stream& stream, void* argument,
                                     appserver_http_call& call) {
  appserver_client_stream given{};
  std::memcpy(&given, &stream, std::min<std::size_t>(stream.size, sizeof(given)));
  if (!host_.on_loop() || given.on_data == nullptr || given.on_end == nullptr)
    return APPSERVER_INVALID;
  if (stopped_) return APPSERVER_GONE;
  using telemetry::Hook;
  using telemetry::InHook;
  client::HttpPieces pieces;
  pieces.on_head = [this, given, argument](const client::HttpResponse& head) {
    if (given.on_head == nullptr) return;
    tell_response(head, [&](const appserver_client_response& raw) {
      const InHook in_hook(host_.page(), Hook::call_done);
      given.on_head(argument, &raw);
    });
  };
  pieces.on_data = [this, given, argument](std::string_view piece) {
    const InHook in_hook(host_.page(), Hook::call_done);
    given.on_data(argument, view(piece));
  };
  call = http_.stream(to_request(request), std::move(pieces),
                      [this, given, argument](const client::CallResult& result) {
                        tell_result(result, [&](const appserver_client_response& raw) {
                          const InHook in_hook(host_.page(), Hook::call_done);
                          given.on_end(argument, &raw);
                        });
                      });
  return APPSERVER_OK;
}

std::int32_t ClientHost::http_pause(appserver_http_call call, bool paused) {
  if (!host_.on_loop()) return APPSERVER_INVALID;
  return http_.pause(call, paused) ? APPSERVER_OK : APPSERVER_NOT_FOUND;
}

std::int32_t ClientHost::http_cancel(appserver_http_call call) {
  if (!host_.on_loop()) return APPSERVER_INVALID;
  return http_.cancel(call) ? APPSERVER_OK : APPSERVER_NOT_FOUND;
}

void ClientHost::stop() {
  stopped_ = true;
  http_.clear();
}

const appserver_client_host& client_host_table() {
  static const appserver_client_host kTable = {
      sizeof(appserver_client_host),
      0,
      [](appserver_worker* worker, const appserver_client_request* request,
         void (*done)(void*, const appserver_client_response*) noexcept, void* argument,
         appserver_http_call* call) noexcept {
        return worker->host.client().http_start(*request, done, argument, *call);
      },
      [](appserver_worker* worker, appserver_http_call call) noexcept {
        return worker->host.client().http_cancel(call);
      },
      [](appserver_worker* worker, const appserver_client_request* request,
         const appserver_client_stream* stream, void* argument,
         appserver_http_call* call) noexcept {
        return worker->host.client().http_stream(*request, *stream, argument, *call);
      },
      [](appserver_worker* worker, appserver_http_call call) noexcept {
        return worker->host.client().http_pause(call, true);
      },
      [](appserver_worker* worker, appserver_http_call call) noexcept {
        return worker->host.client().http_pause(call, false);
      },
  };
  return kTable;
}

}  // namespace appserver::worker

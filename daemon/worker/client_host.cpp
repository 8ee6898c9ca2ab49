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
void tell_result(const client::CallResult& result, Tell&& tell) {
  appserver_client_response raw{};
  raw.size = sizeof(raw);
  raw.header_stride = sizeof(appserver_header);
  std::vector<appserver_header> headers;
  if (const auto* const failed = std::get_if<client::CallFailed>(&result)) {
    raw.failure = static_cast<std::uint32_t>(failed->failure);
    raw.message = view(failed->why);
  } else {
    const auto& response = std::get<client::HttpResponse>(result);
    raw.status = response.status;
    raw.body = view(response.body);
    headers.reserve(response.fields.size());
    for (const client::Field& field : response.fields)
      headers.push_back({view(field.name), view(field.value)});
    raw.headers = headers.data();
    raw.header_count = static_cast<std::uint32_t>(headers.size());
  }
  tell(raw);
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
  };
  return kTable;
}

}  // namespace appserver::worker

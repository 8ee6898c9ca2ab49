#include "worker/gateway_host.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "plugin/load.hpp"
#include "worker/abi_text.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

using gateway::Business;
using gateway::ClientEvent;
using gateway::EventKind;
using telemetry::Hook;
using telemetry::InHook;

std::vector<gateway::ClientId> ids(const appserver_client_id* clients, std::uint32_t count) {
  std::vector<gateway::ClientId> out;
  out.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) out.push_back({clients[i].gateway, clients[i].serial});
  return out;
}

// What is wrong with it, nobody else finds out: the gateway would end the link.
bool is_command(const appserver_gateway_command& command) {
  if (command.verb < APPSERVER_VERB_SEND || command.verb > APPSERVER_VERB_GROUPS) return false;
  if (command.scope > APPSERVER_SCOPE_GROUPS) return false;
  if (command.message_kind > APPSERVER_MESSAGE_TEXT || command.code > UINT16_MAX) return false;
  const auto most = APPSERVER_GATEWAY_NAMED_MAX;
  if (command.client_count > most || command.name_count > most || command.except_count > most)
    return false;
  if (command.name.size > APPSERVER_GATEWAY_NAME_MAX) return false;
  if (command.body.size > gateway::kMaxLinkMessage / 2) return false;
  return std::all_of(command.names, command.names + command.name_count,
                     [](appserver_str name) { return name.size <= APPSERVER_GATEWAY_NAME_MAX; });
}

gateway::Audience audience_of(const appserver_gateway_command& command) {
  gateway::Audience audience;
  audience.scope = static_cast<gateway::Scope>(command.scope);
  audience.clients = ids(command.clients, command.client_count);
  for (std::uint32_t i = 0; i < command.name_count; ++i)
    audience.names.push_back(text(command.names[i]));
  return audience;
}

gateway::Command command_of(const appserver_gateway_command& from) {
  gateway::Command command;
  command.verb = static_cast<gateway::Verb>(from.verb);
  command.kind = static_cast<std::uint8_t>(from.message_kind);
  command.code = static_cast<std::uint16_t>(from.code);
  command.with_sessions = from.with_sessions != 0;
  if (from.has_expected != 0) command.expected = from.expected;
  command.name = text(from.name);
  command.body = text(from.body);
  return command;
}

std::int32_t to_status(gateway::TableResult result) {
  switch (result) {
    case gateway::TableResult::ok:
      return APPSERVER_OK;
    case gateway::TableResult::no_client:
      return APPSERVER_GATEWAY_NO_CLIENT;
    case gateway::TableResult::conflict:
      return APPSERVER_GATEWAY_CONFLICT;
    case gateway::TableResult::invalid:
      return APPSERVER_GATEWAY_INVALID;
    case gateway::TableResult::full:
      return APPSERVER_GATEWAY_FULL;
    case gateway::TableResult::too_large:
      return APPSERVER_GATEWAY_TOO_LARGE;
  }
  return APPSERVER_ERROR;
}

Hook hook_of(EventKind kind) {
  switch (kind) {
    case EventKind::connect:
      return Hook::on_client_connect;
    case EventKind::websocket_open:
      return Hook::on_client_websocket_open;
    case EventKind::message:
      return Hook::on_client_message;
    case EventKind::close:
      break;
  }
  return Hook::on_client_close;
}

appserver_client_id to_abi(gateway::ClientId client) { return {client.instance, client.serial}; }

}  // namespace

void describe(const gateway::KnownClient& client, appserver_client_info& info) {
  appserver_client_info full{};
  full.size = std::min<std::uint32_t>(info.size, sizeof(full));
  full.protocol = view(client.protocol);
  full.remote = view(client.remote);
  full.local = view(client.local);
  full.listener = view(client.listener);
  full.uid = view(client.uid);
  full.session = view(client.session.bytes);
  full.session_version = client.session.version;
  std::memcpy(&info, &full, full.size);
}

GatewayHost::GatewayHost(boost::asio::io_context& context, PluginHost& host,
                         const channel::Boot& boot)
    : context_(context), host_(host), boot_(boot) {}

void GatewayHost::load(const appserver_plugin& plugin) {
  plugin_ = plugin::read_table<appserver_gateway_plugin>(plugin.extension(APPSERVER_GATEWAY));
  if (plugin_ && plugin_->on_client_message == nullptr) plugin_.reset();
}

bool GatewayHost::on_event(const ClientEvent& event) {
  appserver_client_event told{};
  told.size = sizeof(told);
  told.redelivered = event.redelivered ? 1 : 0;
  told.gateway = event.id.instance;
  told.number = event.id.number;
  host_.forget_error();
  if (event.kind == EventKind::message) host_.page().requests.add();
  const std::int32_t result = call_hook(event, told);
  if (result != APPSERVER_OK && result != APPSERVER_LATER)
    host_.log_failure(to_string(hook_of(event.kind)));
  return result != APPSERVER_LATER;
}

std::int32_t GatewayHost::call_hook(const ClientEvent& event, const appserver_client_event& told) {
  const InHook in_hook(host_.page(), hook_of(event.kind));
  switch (event.kind) {
    case EventKind::connect:
      if (plugin_->on_client_connect == nullptr) return APPSERVER_OK;
      return plugin_->on_client_connect(host_.self(), to_abi(event.client), &told);
    case EventKind::websocket_open:
      return call_websocket_open(event, told);
    case EventKind::message:
      return plugin_->on_client_message(host_.self(), to_abi(event.client), event.detail,
                                        view(event.body), &told);
    case EventKind::close:
      break;
  }
  return call_close(event, told);
}

std::int32_t GatewayHost::call_websocket_open(const ClientEvent& event,
                                              const appserver_client_event& told) {
  if (plugin_->on_client_websocket_open == nullptr) return APPSERVER_OK;
  const auto opening = gateway::read_opening(event.body);
  if (!opening) {
    host_.report_error("the gateway's request of a WebSocket is malformed");
    return APPSERVER_ERROR;
  }
  std::vector<appserver_header> headers;
  headers.reserve(opening->headers.size());
  for (const auto& [name, value] : opening->headers) headers.push_back({view(name), view(value)});
  const std::size_t query = opening->target.find('?');
  const gateway::KnownClient* const client = business_->find(event.client);
  appserver_http_request request{};
  request.size = sizeof(request);
  request.version = 11;
  request.method = view(opening->method);
  request.target = view(opening->target);
  request.path = view(opening->target.substr(0, query));
  if (query != std::string_view::npos) request.query = view(opening->target.substr(query + 1));
  request.headers = headers.data();
  request.header_count = static_cast<std::uint32_t>(headers.size());
  request.header_stride = sizeof(appserver_header);
  if (client != nullptr) request.remote = view(client->remote);
  return plugin_->on_client_websocket_open(host_.self(), to_abi(event.client), &request, &told);
}

std::int32_t GatewayHost::call_close(const ClientEvent& event, const appserver_client_event& told) {
  if (plugin_->on_client_close == nullptr) return APPSERVER_OK;
  const auto closing = gateway::read_closing(event.body).value_or(gateway::Closing{});
  return plugin_->on_client_close(host_.self(), to_abi(event.client), event.detail, closing.code,
                                  view(closing.why), &told);
}

std::int32_t GatewayHost::client_info(appserver_client_id client,
                                      appserver_client_info& info) const {
  const gateway::KnownClient* const known =
      business_ ? business_->find({client.gateway, client.serial}) : nullptr;
  if (known == nullptr) return APPSERVER_NOT_FOUND;
  describe(*known, info);
  return APPSERVER_OK;
}

std::int32_t GatewayHost::tell(const appserver_gateway_command& command) {
  if (!is_command(command)) return APPSERVER_INVALID;
  if (!business_) return APPSERVER_GONE;
  switch (business_->tell(audience_of(command), command_of(command),
                          ids(command.except, command.except_count))) {
    case Business::Sent::sent:
      return APPSERVER_OK;
    case Business::Sent::no_gateway:
      return APPSERVER_GONE;
    case Business::Sent::full:
      break;
  }
  return APPSERVER_LIMIT;
}

std::int32_t GatewayHost::ask(const appserver_gateway_command& command, std::uint64_t timeout_ms,
                              appserver_gateway_done done, void* argument, std::uint64_t& request) {
  constexpr std::uint64_t kLongest = 3'600'000;
  if (!is_command(command) || done == nullptr) return APPSERVER_INVALID;
  if (!business_) return APPSERVER_GONE;
  Business::Sent sent{};
  request = business_->ask(
      audience_of(command), command_of(command),
      std::chrono::milliseconds(std::min(timeout_ms, kLongest)),
      [this, done, argument](const gateway::Requests::Result& result) {
        finish(result, done, argument);
      },
      sent);
  return request == 0 ? APPSERVER_LIMIT : APPSERVER_OK;
}

void GatewayHost::finish(const gateway::Requests::Result& result, appserver_gateway_done done,
                         void* argument) {
  std::vector<appserver_client_record> clients;
  clients.reserve(result.clients.size());
  for (const auto& each : result.clients) {
    appserver_client_record record{to_abi(each.client), view(each.uid), {}, 0};
    if (each.session) {
      record.session = view(each.session->bytes);
      record.session_version = each.session->version;
    }
    clients.push_back(record);
  }
  std::vector<appserver_named_count> names;
  names.reserve(result.names.size());
  for (const auto& [name, count] : result.names) names.push_back({view(name), count});
  appserver_gateway_result out{};
  out.size = sizeof(out);
  out.status = to_status(result.result);
  out.partial = result.partial ? 1 : 0;
  out.client_count = static_cast<std::uint32_t>(clients.size());
  out.clients = clients.data();
  out.client_stride = sizeof(appserver_client_record);
  out.name_count = static_cast<std::uint32_t>(names.size());
  out.names = names.data();
  out.name_stride = sizeof(appserver_named_count);
  out.number = result.number;
  const InHook in_hook(host_.page(), Hook::gateway_done);
  done(argument, &out);
}

std::int32_t GatewayHost::forget(std::uint64_t request) {
  if (!business_) return APPSERVER_GONE;
  business_->forget(request);
  return APPSERVER_OK;
}

std::int32_t GatewayHost::acknowledge(const appserver_client_event& event) {
  if (!business_) return APPSERVER_GONE;
  return business_->acknowledge({event.gateway, event.number}) ? APPSERVER_OK : APPSERVER_GONE;
}

namespace {

// Runs call(gateway) where that may be, else says why not.
template <class Call>
std::int32_t with_gateway(appserver_worker* worker, Call&& call) noexcept {
  if (!worker->host.on_loop()) return APPSERVER_INVALID;
  try {
    return call(worker->host.gateway());
  } catch (const std::exception& error) {
    worker->host.report_error(error.what());
    return APPSERVER_ERROR;
  }
}

}  // namespace

const appserver_gateway_host& gateway_host_table() {
  static const appserver_gateway_host kTable = {
      sizeof(appserver_gateway_host),
      0,
      [](appserver_worker* worker, appserver_client_id client,
         appserver_client_info* info) noexcept {
        return with_gateway(worker, [&](GatewayHost& at) { return at.client_info(client, *info); });
      },
      [](appserver_worker* worker, const appserver_gateway_command* command) noexcept {
        return with_gateway(worker, [&](GatewayHost& at) { return at.tell(*command); });
      },
      [](appserver_worker* worker, const appserver_gateway_command* command,
         std::uint64_t timeout_ms, appserver_gateway_done done, void* argument,
         std::uint64_t* request) noexcept {
        return with_gateway(worker, [&](GatewayHost& at) {
          return at.ask(*command, timeout_ms, done, argument, *request);
        });
      },
      [](appserver_worker* worker, std::uint64_t request) noexcept {
        return with_gateway(worker, [&](GatewayHost& at) { return at.forget(request); });
      },
      [](appserver_worker* worker, const appserver_client_event* event) noexcept {
        return with_gateway(worker, [&](GatewayHost& at) { return at.acknowledge(*event); });
      },
  };
  return kTable;
}

}  // namespace appserver::worker

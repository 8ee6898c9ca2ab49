#include "worker/stream_host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "net/websocket/upgrade.hpp"
#include "plugin/load.hpp"
#include "worker/abi_text.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

using telemetry::Hook;
using telemetry::InHook;

// Runs call(server) where that may be, else says why not.
template <class Call>
std::int32_t with_server(appserver_worker* worker, Call&& call) noexcept {
  std::int32_t refusal = APPSERVER_OK;
  net::StreamServer* const server = worker->host.streams().server(refusal);
  return server == nullptr ? refusal : call(*server);
}

}  // namespace

void StreamHost::load(const appserver_plugin& plugin) {
  plugin_ = plugin::read_table<appserver_stream_plugin>(plugin.extension(APPSERVER_STREAM));
  if (plugin_ && plugin_->on_message == nullptr) plugin_.reset();
}

net::StreamServer* StreamHost::server(std::int32_t& refusal) const {
  refusal = host_.on_loop() ? APPSERVER_GONE : APPSERVER_INVALID;
  return host_.on_loop() ? server_ : nullptr;
}

template <class Call>
std::int32_t StreamHost::result_of(Hook hook, Call&& call) {
  host_.forget_error();
  std::int32_t result = APPSERVER_ERROR;
  {
    const InHook in_hook(host_.page(), hook);
    result = call();
  }
  if (result != APPSERVER_OK) host_.log_failure(to_string(hook));
  return result;
}

bool StreamHost::on_connect(appserver_connection connection) {
  if (plugin_->on_connect == nullptr) return true;
  return result_of(Hook::on_connect,
                   [&] { return plugin_->on_connect(host_.self(), connection); }) == APPSERVER_OK;
}

StreamHost::WebSocketAnswer StreamHost::on_websocket_open(appserver_connection connection,
                                                          const appserver_http_request& request) {
  WebSocketAnswer failed{500, "the plugin failed to answer"};
  if (plugin_->on_websocket_open == nullptr) {
    return on_connect(connection) ? WebSocketAnswer{} : failed;
  }
  appserver_websocket_answer answer{};
  answer.size = sizeof(answer);
  const std::int32_t result = result_of(Hook::on_websocket_open, [&] {
    return plugin_->on_websocket_open(host_.self(), connection, &request, &answer);
  });
  if (result != APPSERVER_OK) return failed;
  if (answer.status != 0 && (answer.status < 400 || answer.status > 599)) {
    host_.log(
        APPSERVER_LOG_ERROR,
        fmt::format("on_websocket_open refused with status {}; it is 400 to 599", answer.status));
    return failed;
  }
  if (answer.status != 0) return {answer.status, std::string(text(answer.body))};
  const std::string protocol(text(answer.protocol));
  const net::websocket::UpgradeFields fields(request);
  const auto offered = net::websocket::offered_protocols(fields.request().protocols);
  if (!protocol.empty() && std::ranges::find(offered, protocol) == offered.end()) {
    host_.log(APPSERVER_LOG_ERROR,
              "on_websocket_open chose a subprotocol that the client does not offer: refused");
    return failed;
  }
  return {0, {}, protocol};
}

StreamHost::Outcome StreamHost::on_message(appserver_connection connection, std::uint32_t kind,
                                           std::string_view message) {
  const std::int32_t result = result_of(Hook::on_message, [&] {
    return plugin_->on_message(host_.self(), connection, kind, view(message));
  });
  if (result == APPSERVER_OK) return Outcome::good;
  return result == APPSERVER_FAILED ? Outcome::failed : Outcome::fatal;
}

void StreamHost::on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                          std::string_view why) {
  if (plugin_->on_close == nullptr) return;
  const InHook in_hook(host_.page(), Hook::on_close);
  plugin_->on_close(host_.self(), connection, reason, code, view(why));
}

void StreamHost::on_buffer_full(appserver_connection connection) {
  if (plugin_->on_buffer_full == nullptr) return;
  const InHook in_hook(host_.page(), Hook::on_buffer_full);
  plugin_->on_buffer_full(host_.self(), connection);
}

void StreamHost::on_buffer_drain(appserver_connection connection) {
  if (plugin_->on_buffer_drain == nullptr) return;
  const InHook in_hook(host_.page(), Hook::on_buffer_drain);
  plugin_->on_buffer_drain(host_.self(), connection);
}

std::optional<std::string> StreamHost::on_handover(appserver_connection connection) {
  if (plugin_->on_handover == nullptr || plugin_->on_adopt == nullptr) return std::nullopt;
  appserver_str state{};
  const std::int32_t result = result_of(
      Hook::on_handover, [&] { return plugin_->on_handover(host_.self(), connection, &state); });
  if (result != APPSERVER_OK) return std::nullopt;
  if (state.size > APPSERVER_HANDOVER_STATE_MAX) {
    host_.log(
        APPSERVER_LOG_ERROR,
        fmt::format("on_handover gave {} bytes, {} at most can go along: the connection stays "
                    "and is drained",
                    state.size, APPSERVER_HANDOVER_STATE_MAX));
    return std::nullopt;
  }
  return std::string(text(state));
}

bool StreamHost::on_adopt(appserver_connection connection, std::string_view state) {
  if (plugin_->on_adopt == nullptr) {
    host_.log(APPSERVER_LOG_WARNING,
              "a connection came from the predecessor, but this build has no on_adopt: closed");
    return false;
  }
  return result_of(Hook::on_adopt, [&] {
           return plugin_->on_adopt(host_.self(), connection, view(state));
         }) == APPSERVER_OK;
}

bool StreamHost::has_own_framing() const { return plugin_->measure != nullptr; }

std::optional<std::uint64_t> StreamHost::measure(appserver_connection connection,
                                                 std::string_view data) {
  std::uint64_t length = 0;
  const std::int32_t result = result_of(Hook::measure, [&] {
    return plugin_->measure(host_.self(), connection, view(data), &length);
  });
  if (result != APPSERVER_OK) return std::nullopt;
  return length;
}

const appserver_stream_host& stream_host_table() {
  static const appserver_stream_host kTable = {
      sizeof(appserver_stream_host),
      0,
      [](appserver_worker* worker, appserver_connection connection, std::uint32_t kind,
         appserver_str message) noexcept {
        return with_server(worker, [&](net::StreamServer& server) {
          return server.send(connection, kind, text(message));
        });
      },
      [](appserver_worker* worker, appserver_connection connection, std::uint32_t code,
         appserver_str reason) noexcept {
        return with_server(worker, [&](net::StreamServer& server) {
          return server.close(connection, code, text(reason));
        });
      },
      [](appserver_worker* worker, appserver_connection connection) noexcept {
        return with_server(worker,
                           [&](net::StreamServer& server) { return server.abort(connection); });
      },
      [](appserver_worker* worker, appserver_connection connection) noexcept {
        return with_server(
            worker, [&](net::StreamServer& server) { return server.pause(connection, true); });
      },
      [](appserver_worker* worker, appserver_connection connection) noexcept {
        return with_server(
            worker, [&](net::StreamServer& server) { return server.pause(connection, false); });
      },
      [](appserver_worker* worker, appserver_connection connection, void* context) noexcept {
        return with_server(worker, [&](net::StreamServer& server) {
          return server.set_context(connection, context);
        });
      },
      [](appserver_worker* worker, appserver_connection connection) noexcept -> void* {
        std::int32_t refusal = APPSERVER_OK;
        net::StreamServer* const server = worker->host.streams().server(refusal);
        return server == nullptr ? nullptr : server->context(connection);
      },
      [](appserver_worker* worker, appserver_connection connection,
         appserver_connection_info* info) noexcept {
        return with_server(
            worker, [&](net::StreamServer& server) { return server.info(connection, *info); });
      },
      [](appserver_worker* worker, appserver_connection from, appserver_connection to) noexcept {
        return with_server(worker,
                           [&](net::StreamServer& server) { return server.pipe(from, to); });
      },
  };
  return kTable;
}

}  // namespace appserver::worker

// The table of "gateway/1" for a plugin class: noexcept trampolines, and nothing else.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <appserver/connection.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/overrides.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/gateway_client.hpp>
#include <appserver/request.hpp>
#include <cstdint>
#include <string_view>

namespace appserver::detail {

// Instance is what Adapter makes: host, raw_worker, worker, hooks.
template <class Class, class Base, class Instance>
class GatewayAdapter {
 public:
  static constexpr bool kUsed = overrides_on_client_message<Class, Base>();

  static const appserver_gateway_plugin* table() noexcept { return &kTable; }

 private:
  template <class Hook>
  static std::int32_t guarded(void* self, appserver_client_id id,
                              const appserver_client_event* event, const char* where,
                              Hook&& hook) noexcept {
    Instance& at = *static_cast<Instance*>(self);
    EventAtHand at_hand{event};
    try {
      // So that an event that is held can be acknowledged.
      at.worker.gateway().set().table();
      GatewayClient client(at.worker.gateway(), id, at_hand);
      hook(at.hooks, client);
      return at_hand.held ? APPSERVER_LATER : APPSERVER_OK;
    } catch (...) {
      with_description(
          where, [&](std::string_view text) { at.host->report_error(at.raw_worker, str(text)); });
      return at_hand.held ? APPSERVER_LATER : APPSERVER_ERROR;
    }
  }

  static std::int32_t on_client_connect(void* self, appserver_client_id id,
                                        const appserver_client_event* event) noexcept {
    return guarded(self, id, event, "on_client_connect",
                   [](Base& hooks, GatewayClient& client) { hooks.on_client_connect(client); });
  }

  static std::int32_t on_client_websocket_open(void* self, appserver_client_id id,
                                               const appserver_http_request* raw,
                                               const appserver_client_event* event) noexcept {
    return guarded(self, id, event, "on_client_websocket_open",
                   [&](Base& hooks, GatewayClient& client) {
                     const Request request(*raw);
                     hooks.on_client_websocket_open(client, request);
                   });
  }

  static std::int32_t on_client_message(void* self, appserver_client_id id, std::uint32_t kind,
                                        appserver_str message,
                                        const appserver_client_event* event) noexcept {
    return guarded(self, id, event, "on_client_message", [&](Base& hooks, GatewayClient& client) {
      hooks.on_client_message(client, Message(view(message), kind == APPSERVER_MESSAGE_TEXT));
    });
  }

  static std::int32_t on_client_close(void* self, appserver_client_id id, std::uint32_t reason,
                                      std::uint32_t code, appserver_str text,
                                      const appserver_client_event* event) noexcept {
    return guarded(self, id, event, "on_client_close", [&](Base& hooks, GatewayClient& client) {
      hooks.on_client_close(client, Close{static_cast<CloseReason>(reason), view(text),
                                          static_cast<std::uint16_t>(code)});
    });
  }

  static constexpr appserver_gateway_plugin kTable{sizeof(appserver_gateway_plugin),
                                                   0,
                                                   &on_client_connect,
                                                   &on_client_websocket_open,
                                                   &on_client_message,
                                                   &on_client_close};
};

}  // namespace appserver::detail

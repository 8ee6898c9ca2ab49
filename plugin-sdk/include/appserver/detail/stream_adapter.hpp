// The table of "stream/1" for a plugin class: noexcept trampolines, and nothing else.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/stream.h>

#include <appserver/connection.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/overrides.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/request.hpp>
#include <appserver/upgrade.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace appserver::detail {

// Instance is what Adapter makes: host, raw_worker, hooks, stream, handover_state, upgrade.
template <class Class, class Base, class Instance>
class StreamAdapter {
 public:
  static constexpr bool kUsed = overrides_on_message<Class, Base>();

  static const appserver_stream_plugin* table() noexcept { return &kTable; }

 private:
  static constexpr bool kHandsOver =
      overrides_on_handover<Class, Base>() && overrides_on_adopt<Class, Base>();
  static_assert(!kUsed || overrides_on_handover<Class, Base>() == overrides_on_adopt<Class, Base>(),
                "a plugin with one of on_handover and on_adopt has the other, too");
  static constexpr bool kMeasures = overrides_measure<Class, Base>();

  static Instance& instance(void* self) noexcept { return *static_cast<Instance*>(self); }
  static Connection connection_of(Instance& at, appserver_connection id) noexcept {
    return {at.stream, at.raw_worker, id};
  }
  static void report(Instance& at, std::string_view where) noexcept {
    with_description(
        where, [&](std::string_view text) { at.host->report_error(at.raw_worker, str(text)); });
  }

  template <class Hook>
  static std::int32_t guarded(Instance& at, const char* where, Hook&& hook) noexcept {
    try {
      hook();
      return APPSERVER_OK;
    } catch (...) {
      report(at, where);
      return APPSERVER_ERROR;
    }
  }

  template <class Hook>
  static void logged(Instance& at, const char* where, Hook&& hook) noexcept {
    try {
      hook();
    } catch (...) {
      log_exception(at.host, at.raw_worker, where);
    }
  }

  static std::int32_t on_connect(void* self, appserver_connection id) noexcept {
    Instance& at = instance(self);
    const Connection connection = connection_of(at, id);
    const std::int32_t result = guarded(at, "on_connect", [&] { at.hooks.on_connect(connection); });
    if (result != APPSERVER_OK) connection.drop_context();
    return result;
  }

  static std::int32_t on_websocket_open(void* self, appserver_connection id,
                                        const appserver_http_request* raw,
                                        appserver_websocket_answer* answer) noexcept {
    Instance& at = instance(self);
    const Connection connection = connection_of(at, id);
    const std::int32_t result = guarded(at, "on_websocket_open", [&] {
      const Request request(*raw);
      Upgrade upgrade(request);
      at.hooks.on_websocket_open(connection, request, upgrade);
      at.upgrade = upgrade.answer();
    });
    if (result != APPSERVER_OK || at.upgrade.status != 0) connection.drop_context();
    if (result != APPSERVER_OK) return result;
    answer->status = at.upgrade.status;
    answer->body = str(at.upgrade.text);
    answer->protocol = str(at.upgrade.protocol);
    return result;
  }

  static std::int32_t on_message(void* self, appserver_connection id, std::uint32_t kind,
                                 appserver_str message) noexcept {
    Instance& at = instance(self);
    const Connection connection = connection_of(at, id);
    try {
      at.hooks.on_message(connection, Message(view(message), kind == APPSERVER_MESSAGE_TEXT));
      return APPSERVER_OK;
    } catch (...) {
      report(at, "on_message");
      std::string what;
      try {
        what = describe_exception();
      } catch (...) {
        return APPSERVER_ERROR;
      }
      return on_error(at, connection, what);
    }
  }

  static std::int32_t on_error(Instance& at, Connection connection,
                               const std::string& what) noexcept {
    try {
      at.hooks.on_error(connection, what);
      return APPSERVER_FAILED;
    } catch (...) {
      log_exception(at.host, at.raw_worker, "on_error");
      return APPSERVER_ERROR;
    }
  }

  static void on_close(void* self, appserver_connection id, std::uint32_t reason,
                       std::uint32_t code, appserver_str text) noexcept {
    Instance& at = instance(self);
    const Connection connection = connection_of(at, id);
    logged(at, "on_close", [&] {
      at.hooks.on_close(connection, Close{static_cast<CloseReason>(reason), view(text),
                                          static_cast<std::uint16_t>(code)});
    });
    connection.drop_context();
  }

  static void on_buffer_full(void* self, appserver_connection id) noexcept {
    Instance& at = instance(self);
    logged(at, "on_buffer_full", [&] { at.hooks.on_buffer_full(connection_of(at, id)); });
  }

  static void on_buffer_drain(void* self, appserver_connection id) noexcept {
    Instance& at = instance(self);
    logged(at, "on_buffer_drain", [&] { at.hooks.on_buffer_drain(connection_of(at, id)); });
  }

  static std::int32_t on_handover(void* self, appserver_connection id,
                                  appserver_str* state) noexcept {
    Instance& at = instance(self);
    const Connection connection = connection_of(at, id);
    const std::int32_t result = guarded(at, "on_handover", [&] {
      at.handover_state.clear();
      at.hooks.on_handover(connection, at.handover_state);
      if (at.handover_state.size() > APPSERVER_HANDOVER_STATE_MAX)
        throw std::length_error("more than 64 KiB of state");
    });
    if (result != APPSERVER_OK) return result;
    *state = str(at.handover_state);
    connection.drop_context();
    return result;
  }

  static std::int32_t on_adopt(void* self, appserver_connection id, appserver_str state) noexcept {
    Instance& at = instance(self);
    const Connection connection = connection_of(at, id);
    const std::int32_t result =
        guarded(at, "on_adopt", [&] { at.hooks.on_adopt(connection, view(state)); });
    if (result != APPSERVER_OK) connection.drop_context();
    return result;
  }

  static std::int32_t measure(void* self, appserver_connection id, appserver_str data,
                              std::uint64_t* length) noexcept {
    Instance& at = instance(self);
    return guarded(at, "measure",
                   [&] { *length = at.hooks.measure(connection_of(at, id), view(data)); });
  }

  static constexpr appserver_stream_plugin kTable{sizeof(appserver_stream_plugin),
                                                  0,
                                                  &on_connect,
                                                  &on_message,
                                                  &on_close,
                                                  &on_buffer_full,
                                                  &on_buffer_drain,
                                                  kHandsOver ? &on_handover : nullptr,
                                                  kHandsOver ? &on_adopt : nullptr,
                                                  kMeasures ? &measure : nullptr,
                                                  &on_websocket_open};
};

}  // namespace appserver::detail

// The tables of the C ABI for a plugin class: noexcept trampolines, and nothing else.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <appserver/detail/answer_task.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/gateway_adapter.hpp>
#include <appserver/detail/lifecycle_adapter.hpp>
#include <appserver/detail/overrides.hpp>
#include <appserver/detail/stream_adapter.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/detail/udp_adapter.hpp>
#include <appserver/http.hpp>
#include <appserver/upgrade.hpp>
#include <appserver/worker.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace appserver::detail {

// Base is appserver::Plugin, or a stand-in with the same hooks.
template <class Class, class Base>
class Adapter {
 public:
  static constexpr appserver_plugin table(const char* name, const char* version) noexcept {
    return {sizeof(appserver_plugin),
            APPSERVER_ABI_MAJOR,
            APPSERVER_ABI_MINOR,
            name,
            version,
            &create,
            &destroy,
            &on_worker_start,
            &on_worker_reload,
            &on_worker_stop,
            &extension,
            kSelfCheck ? &self_check : nullptr};
  }

  // What create() has made, for tests of the class.
  static Class& plugin_of(void* self) noexcept { return instance(self).plugin; }

 private:
  static_assert(check_hooks<Class, Base>());
  static constexpr bool kAsync = overrides_on_request_async<Class, Base>();
  static constexpr bool kHttp = kAsync || overrides_on_request<Class, Base>();
  static_assert(!(kAsync && overrides_on_request<Class, Base>()),
                "a plugin has on_request or on_request_async, not both");
  // A plugin without one is not even constructed to be checked.
  static constexpr bool kSelfCheck = overrides_self_check<Class, Base>();

  struct Instance {
    Instance(const appserver_host* host_table, appserver_worker* handle,
             const appserver_http_host* http_table, const appserver_stream_host* stream_table,
             const appserver_udp_host* udp_table)
        : host(host_table),
          http(http_table),
          stream(stream_table),
          udp(udp_table),
          raw_worker(handle),
          worker(host_table, handle) {}

    const appserver_host* host;
    const appserver_http_host* http;
    const appserver_stream_host* stream;
    const appserver_udp_host* udp;
    appserver_worker* raw_worker;
    Worker worker;
    Class plugin;
    Base& hooks = plugin;
    std::string handover_state;  // of the last on_handover
    Upgrade::Answer upgrade{};   // of the last on_websocket_open
    SavedState saved_state{};    // of the last on_save_state
  };
  using Streams = StreamAdapter<Class, Base, Instance>;
  using Lifecycle = LifecycleAdapter<Class, Base, Instance>;
  using Datagrams = UdpAdapter<Class, Base, Instance>;
  using Clients = GatewayAdapter<Class, Base, Instance>;

  static Instance& instance(void* self) noexcept { return *static_cast<Instance*>(self); }

  static void report(const appserver_host* host, appserver_worker* worker,
                     std::string_view where) noexcept {
    with_description(where, [&](std::string_view text) { host->report_error(worker, str(text)); });
  }

  template <class Hook>
  static std::int32_t guarded(Instance& self, const char* where, Hook&& hook) noexcept {
    try {
      hook();
      return APPSERVER_OK;
    } catch (...) {
      report(self.host, self.raw_worker, where);
      return APPSERVER_ERROR;
    }
  }

  static std::int32_t create(const appserver_host* host, appserver_worker* worker,
                             void** self) noexcept {
    const auto refuse = [&](const char* why) {
      host->report_error(worker, str(why));
      return APPSERVER_ERROR;
    };
    if (host->abi_major != APPSERVER_ABI_MAJOR)
      return refuse("the host speaks another major version of the plugin ABI");
    if (!APPSERVER_HAS(appserver_host, host, metric_set))
      return refuse("the host's table is shorter than ABI 1.0");
    const appserver_http_host* http = nullptr;
    if constexpr (kHttp) {
      http = static_cast<const appserver_http_host*>(host->extension(APPSERVER_HTTP));
      if (http == nullptr || !APPSERVER_HAS(appserver_http_host, http, alive))
        return refuse("the host lacks " APPSERVER_HTTP);
    }
    const appserver_stream_host* stream = nullptr;
    if constexpr (Streams::kUsed) {
      stream = static_cast<const appserver_stream_host*>(host->extension(APPSERVER_STREAM));
      if (stream == nullptr || !APPSERVER_HAS(appserver_stream_host, stream, pipe))
        return refuse("the host lacks " APPSERVER_STREAM);
    }
    const appserver_udp_host* udp = nullptr;
    if constexpr (Datagrams::kUsed) {
      udp = static_cast<const appserver_udp_host*>(host->extension(APPSERVER_UDP));
      if (udp == nullptr || !APPSERVER_HAS(appserver_udp_host, udp, release))
        return refuse("the host lacks " APPSERVER_UDP);
    }
    try {
      auto made = std::make_unique<Instance>(host, worker, http, stream, udp);
      made->hooks.attach(made->worker);
      *self = made.release();
      return APPSERVER_OK;
    } catch (...) {
      report(host, worker, "constructor");
      return APPSERVER_ERROR;
    }
  }

  // What timers and posted functions hold may use the plugin, so they go first.
  static void destroy(void* self) noexcept {
    instance(self).worker.close();
    delete &instance(self);
  }

  static std::int32_t self_check(void* self) noexcept {
    Instance& at = instance(self);
    return guarded(at, "self_check", [&] { at.hooks.self_check(at.worker); });
  }

  static std::int32_t on_worker_start(void* self) noexcept {
    Instance& at = instance(self);
    return guarded(at, "on_worker_start", [&] { at.hooks.on_worker_start(at.worker); });
  }

  static void on_worker_reload(void* self) noexcept {
    Instance& at = instance(self);
    try {
      at.hooks.on_worker_reload(at.worker);
    } catch (...) {
      log_exception(at.host, at.raw_worker, "on_worker_reload");
    }
  }

  static void on_worker_stop(void* self) noexcept {
    Instance& at = instance(self);
    try {
      at.hooks.on_worker_stop(at.worker);
    } catch (...) {
      log_exception(at.host, at.raw_worker, "on_worker_stop");
    }
  }

  static std::int32_t on_request(void* self, const appserver_http_request* raw,
                                 appserver_exchange id) noexcept {
    Instance& at = instance(self);
    const Exchange exchange = exchange_of(at, id);
    return guarded(at, "on_request", [&] {
      Request request(*raw);
      Response response(exchange);
      try {
        if constexpr (kAsync) {
          answer_by(request, response, [&at](Request& kept, Response& later) {
            return at.hooks.on_request_async(kept, later);
          });
        } else {
          at.hooks.on_request(request, response);
          response.complete();
        }
      } catch (const BadRequest& bad) {
        respond_plainly(exchange, 400, std::string(bad.what()) + "\n");
      }
    });
  }

  static void on_client_gone(void* self, appserver_exchange id) noexcept {
    answer_unwanted(exchange_of(instance(self), id));
  }

  static Exchange exchange_of(Instance& at, appserver_exchange id) noexcept {
    return {at.host, at.http, at.raw_worker, id, &at.worker.tasks()};
  }

  static constexpr appserver_http_plugin kHttpTable{sizeof(appserver_http_plugin), 0, &on_request,
                                                    &on_client_gone};

  static const void* extension(const char* name) noexcept {
    if (kHttp && std::string_view(name) == APPSERVER_HTTP) return &kHttpTable;
    if constexpr (Streams::kUsed) {
      if (std::string_view(name) == APPSERVER_STREAM) return Streams::table();
    }
    if constexpr (Lifecycle::kUsed) {
      if (std::string_view(name) == APPSERVER_LIFECYCLE) return Lifecycle::table();
    }
    if constexpr (Datagrams::kUsed) {
      if (std::string_view(name) == APPSERVER_UDP) return Datagrams::table();
    }
    if constexpr (Clients::kUsed) {
      if (std::string_view(name) == APPSERVER_GATEWAY) return Clients::table();
    }
    return nullptr;
  }
};

}  // namespace appserver::detail

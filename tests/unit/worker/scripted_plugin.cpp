#include "scripted_plugin.hpp"

#include <charconv>
#include <cstdint>
#include <string_view>

namespace {

using appserver::test::ScriptedPlugin;

ScriptedPlugin& script(void* self) { return *static_cast<ScriptedPlugin*>(self); }

std::int32_t create(const appserver_host* host, appserver_worker* worker, void** self) noexcept {
  constexpr std::string_view kKey = "script";
  appserver_str value{};
  if (host->setting(worker, {kKey.data(), kKey.size()}, &value) != APPSERVER_OK)
    return APPSERVER_ERROR;
  std::uintptr_t address = 0;
  std::from_chars(value.data, value.data + value.size, address);
  *self = reinterpret_cast<void*>(address);
  return script(*self).create(host, worker);
}

std::int32_t on_request(void* self, const appserver_http_request* request,
                        appserver_exchange exchange) noexcept {
  return script(self).on_request(request, exchange);
}

const appserver_http_plugin kHttp = {sizeof(kHttp), 0, on_request, nullptr};

const appserver_lifecycle_plugin kLifecycle = {
    sizeof(kLifecycle), 0,
    [](void* self, appserver_state* state) noexcept { return script(self).save_state(state); },
    [](void* self) noexcept { script(self).on_worker_drain(); }};

}  // namespace

extern "C" const appserver_plugin appserver_plugin_v1 = {
    sizeof(appserver_plugin),
    APPSERVER_ABI_MAJOR,
    APPSERVER_ABI_MINOR,
    "scripted",
    "1.0.0",
    create,
    [](void* self) noexcept { script(self).destroy(); },
    [](void* self) noexcept { return script(self).on_worker_start(); },
    [](void* self) noexcept { script(self).on_worker_reload(); },
    [](void* self) noexcept { script(self).on_worker_stop(); },
    [](const char* name) noexcept -> const void* {
      if (std::string_view(name) == APPSERVER_LIFECYCLE) return &kLifecycle;
      return std::string_view(name) == APPSERVER_HTTP ? &kHttp : nullptr;
    },
    [](void* self) noexcept { return script(self).self_check(); },
};

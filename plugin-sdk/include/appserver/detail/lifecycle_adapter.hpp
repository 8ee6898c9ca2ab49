// The table of "lifecycle/1" for a plugin class: noexcept trampolines, and nothing else.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/lifecycle.h>

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/overrides.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/state.hpp>
#include <cstdint>
#include <stdexcept>

namespace appserver::detail {

// Instance is what Adapter makes: host, raw_worker, worker, hooks, saved_state.
template <class Class, class Base, class Instance>
class LifecycleAdapter {
  static constexpr bool kSaves = overrides_on_save_state<Class, Base>();
  static constexpr bool kDrains = overrides_on_worker_drain<Class, Base>();

 public:
  static constexpr bool kUsed = kSaves || kDrains;

  static const appserver_lifecycle_plugin* table() noexcept { return &kTable; }

 private:
  static Instance& instance(void* self) noexcept { return *static_cast<Instance*>(self); }

  static std::int32_t save_state(void* self, appserver_state* state) noexcept {
    Instance& at = instance(self);
    try {
      at.saved_state = {};
      at.hooks.on_save_state(at.saved_state);
      if (at.saved_state.bytes.size() > APPSERVER_STATE_MAX)
        throw std::length_error("more than 16 MiB of state");
    } catch (...) {
      at.saved_state = {};
      with_description("on_save_state", [&](std::string_view text) {
        at.host->report_error(at.raw_worker, str(text));
      });
      return APPSERVER_ERROR;
    }
    state->version = at.saved_state.version;
    state->data = str(at.saved_state.bytes);
    return APPSERVER_OK;
  }

  static void on_worker_drain(void* self) noexcept {
    Instance& at = instance(self);
    try {
      at.hooks.on_worker_drain(at.worker);
    } catch (...) {
      log_exception(at.host, at.raw_worker, "on_worker_drain");
    }
  }

  static constexpr appserver_lifecycle_plugin kTable{sizeof(appserver_lifecycle_plugin), 0,
                                                     kSaves ? &save_state : nullptr,
                                                     kDrains ? &on_worker_drain : nullptr};
};

}  // namespace appserver::detail

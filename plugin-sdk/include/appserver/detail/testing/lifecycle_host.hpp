// "lifecycle/1" of a host in memory: what a predecessor has left, and the drain.
#pragma once

#include <appserver/abi/lifecycle.h>

#include <appserver/detail/testing/core.hpp>
#include <appserver/state.hpp>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace appserver::testing {

class LifecycleHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_LIFECYCLE;
  static const void* table() noexcept {
    static constexpr appserver_lifecycle_host kTable{sizeof(appserver_lifecycle_host), 0,
                                                     &predecessor_state};
    return &kTable;
  }
  using Extension::Extension;

  void attach(const appserver_plugin& plugin, void* self) override {
    plugin_ = read_table<appserver_lifecycle_plugin>(plugin, kName);
    self_ = self;
  }
  void started() override { left_.reset(); }
  void drain() override {
    if (self_ == nullptr || plugin_.on_worker_drain == nullptr || std::exchange(drained_, true))
      return;
    plugin_.on_worker_drain(self_);
  }
  void detach() override { self_ = nullptr; }

  // For on_worker_start.
  void leave(SavedState state) { left_ = std::move(state); }

  // What a successor would get; nothing where the plugin leaves nothing. Throws std::runtime_error
  // with the plugin's own words.
  std::optional<SavedState> save() {
    if (self_ == nullptr || plugin_.save_state == nullptr) return std::nullopt;
    appserver_state state{};
    state.size = sizeof(state);
    core().forget_error();
    const std::int32_t result = plugin_.save_state(self_, &state);
    if (result == APPSERVER_NOT_FOUND) return std::nullopt;
    if (result != APPSERVER_OK) throw std::runtime_error(core().errors());
    if (state.data.size > APPSERVER_STATE_MAX)
      throw std::runtime_error("save_state gave more than APPSERVER_STATE_MAX bytes");
    return SavedState{state.version, std::string(state.data.data, state.data.size)};
  }

 private:
  static std::int32_t predecessor_state(appserver_worker* worker, appserver_state* state) noexcept {
    const auto& left = Core::of(worker).extension<LifecycleHost>().left_;
    if (!left) return APPSERVER_NOT_FOUND;
    state->version = left->version;
    state->data = {left->bytes.data(), left->bytes.size()};
    return APPSERVER_OK;
  }

  appserver_lifecycle_plugin plugin_{};
  void* self_ = nullptr;
  std::optional<SavedState> left_;
  bool drained_ = false;
};

}  // namespace appserver::testing

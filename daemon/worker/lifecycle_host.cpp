#include "worker/lifecycle_host.hpp"

#include <fmt/format.h>

#include <exception>
#include <string_view>

#include "plugin/load.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {

using telemetry::Hook;
using telemetry::InHook;

static_assert(channel::kMaxState == APPSERVER_STATE_MAX);

void LifecycleHost::load(const appserver_plugin& plugin) {
  plugin_ = plugin::read_table<appserver_lifecycle_plugin>(plugin.extension(APPSERVER_LIFECYCLE));
}

void LifecycleHost::inherit(const os::Fd& file) {
  try {
    inherited_ = channel::read_state_file(file.get());
  } catch (const std::exception& error) {
    why_not_inherited_ = fmt::format("what it was left cannot be read: {}", error.what());
  }
}

LifecycleHost::Saved LifecycleHost::save() {
  if (!saves_state()) return {};
  appserver_state state{};
  state.size = sizeof(state);
  host_.forget_error();
  std::int32_t result = APPSERVER_ERROR;
  {
    const InHook in_hook(host_.page(), Hook::save_state);
    result = plugin_->save_state(host_.self(), &state);
  }
  if (result == APPSERVER_NOT_FOUND) return {};
  if (result != APPSERVER_OK) return {{}, host_.failure_of("on_save_state")};
  if (state.data.size > channel::kMaxState) {
    return {{},
            fmt::format("on_save_state gave {} bytes, {} at most can go along", state.data.size,
                        channel::kMaxState)};
  }
  try {
    return {channel::write_state_file(state.version, {state.data.data, state.data.size}), {}};
  } catch (const std::exception& error) {
    return {{}, error.what()};
  }
}

void LifecycleHost::drain() {
  if (!plugin_ || plugin_->on_worker_drain == nullptr) return;
  const InHook in_hook(host_.page(), Hook::on_worker_drain);
  plugin_->on_worker_drain(host_.self());
}

std::int32_t LifecycleHost::predecessor_state(appserver_state& state) const {
  if (!host_.on_loop()) return APPSERVER_INVALID;
  if (!inherited_) return APPSERVER_NOT_FOUND;
  state.version = inherited_->version;
  state.data = {inherited_->bytes.data(), inherited_->bytes.size()};
  return APPSERVER_OK;
}

const appserver_lifecycle_host& lifecycle_host_table() {
  static const appserver_lifecycle_host kTable = {
      sizeof(appserver_lifecycle_host),
      0,
      [](appserver_worker* worker, appserver_state* state) noexcept {
        return worker->host.lifecycle().predecessor_state(*state);
      },
  };
  return kTable;
}

}  // namespace appserver::worker

// A plugin's life on a host in memory, hook by hook.
#pragma once

#include <appserver/abi.h>

#include <appserver/detail/testing/extensions.hpp>
#include <cstdint>

namespace appserver::testing {

// Made in the constructor; stopped and destroyed in the destructor, if not before.
class Life {
 public:
  Life(Host& host, const appserver_plugin& table) : host_(host), table_(table) {
    created_ = table_.create(&host_.table(), host_.worker(), &self_);
    if (created_ != APPSERVER_OK) return;
    for (Extension* const each : host_.extensions()) each->attach(table_, self_);
  }
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;
  ~Life() { end(); }

  std::int32_t created() const { return created_; }
  void* self() const { return self_; }

  // APPSERVER_OK, too, where the plugin has no such hook.
  std::int32_t self_check() {
    const bool has = APPSERVER_HAS(appserver_plugin, &table_, self_check);
    return has && table_.self_check != nullptr ? table_.self_check(self_) : APPSERVER_OK;
  }
  std::int32_t start() {
    const std::int32_t result =
        table_.on_worker_start == nullptr ? APPSERVER_OK : table_.on_worker_start(self_);
    started_ = result == APPSERVER_OK;
    for (Extension* const each : host_.extensions()) each->started();
    return result;
  }
  void reload() {
    if (table_.on_worker_reload != nullptr) table_.on_worker_reload(self_);
  }

  // The worker drains and ends.
  void end() {
    if (self_ == nullptr) return;
    for (Extension* const each : host_.extensions()) each->drain();
    if (started_ && table_.on_worker_stop != nullptr) table_.on_worker_stop(self_);
    host_.end();
    table_.destroy(self_);
    self_ = nullptr;
    for (Extension* const each : host_.extensions()) each->detach();
  }

 private:
  Host& host_;
  const appserver_plugin& table_;
  void* self_ = nullptr;
  std::int32_t created_ = APPSERVER_ERROR;
  bool started_ = false;
};

}  // namespace appserver::testing

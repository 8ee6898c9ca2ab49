// "lifecycle/1" between a plugin and its worker: what it leaves to its successor, what it was left,
// and when it drains.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/lifecycle.h>

#include <cstdint>
#include <optional>
#include <string>

#include "channel/state_file.hpp"
#include "os/fd.hpp"

namespace appserver::worker {

class PluginHost;

// On the loop's thread, but where it says so.
class LifecycleHost final {
 public:
  // What a plugin leaves: a sealed memory file, none where it leaves nothing, and why, where that
  // is a failure.
  struct Saved {
    os::Fd file;
    std::string failure;
  };

  explicit LifecycleHost(PluginHost& host) : host_(host) {}

  // Reads the plugin's table; what it lacks is never called.
  void load(const appserver_plugin& plugin);
  bool saves_state() const { return plugin_ && plugin_->save_state != nullptr; }

  // What the worker before left. A file that cannot be read is none.
  void inherit(const os::Fd& file);
  // Of that file; empty where it could be read, or there was none.
  const std::string& why_not_inherited() const { return why_not_inherited_; }
  // on_worker_start is over: nobody can ask any more.
  void forget_inherited() { inherited_.reset(); }

  Saved save();
  void drain();

  // As the C table calls it. [any-thread]
  std::int32_t predecessor_state(appserver_state& state) const;

 private:
  PluginHost& host_;
  std::optional<appserver_lifecycle_plugin> plugin_;
  std::optional<channel::State> inherited_;
  std::string why_not_inherited_;
};

const appserver_lifecycle_host& lifecycle_host_table();

}  // namespace appserver::worker

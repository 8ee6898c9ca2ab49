// A plugin whose on_request is a function of the test, on a fake host.
#pragma once

#include <appserver/plugin.hpp>
#include <functional>
#include <utility>

#include "fake_host.hpp"
#include "fake_plugin.hpp"

namespace fake {

using Handler = std::function<void(appserver::Request&, appserver::Response&)>;

// The table knows no state: the handler of the running test goes through here.
inline Handler current_handler;
inline appserver::Worker* current_worker = nullptr;

class ScriptedPlugin final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker& worker) override { current_worker = &worker; }
  void on_request(appserver::Request& request, appserver::Response& response) override {
    current_handler(request, response);
  }
};

inline constexpr appserver_plugin kScriptedPlugin =
    appserver::detail::plugin_table<ScriptedPlugin>("scripted", "1.0.0");

struct Scripted {
  Host host;
  Plugin plugin{host, kScriptedPlugin};

  Scripted() { plugin.start(); }
  ~Scripted() {
    current_handler = nullptr;
    current_worker = nullptr;
  }
  Scripted(const Scripted&) = delete;
  Scripted& operator=(const Scripted&) = delete;

  static void on_request(Handler handler) { current_handler = std::move(handler); }
  static appserver::Worker& worker() { return *current_worker; }
  Answer answer(const Request& request) { return host.answer(plugin.request(request)); }
};

}  // namespace fake

// A plugin driven by a fake host, hook by hook: nothing runs on the loop but what a test asks for.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>
#include <appserver/abi/lifecycle.h>

#include <appserver/detail/testing/life.hpp>
#include <string>

#include "fake_host.hpp"

namespace fake {

using Request = appserver::testing::HttpRequest;

class Plugin final : public appserver::testing::Life {
 public:
  Plugin(Host& host, const appserver_plugin& table)
      : Life(host, table), host_(host), table_(table) {}

  appserver_exchange request(const Request& request) {
    return host_.get<appserver::testing::HttpHost>().request(request);
  }
  void client_gone(appserver_exchange id) {
    host_.get<appserver::testing::HttpHost>().client_gone(id);
  }
  // The state that a successor would get; what the plugin made of it in `result`.
  appserver_state save(std::int32_t& result) {
    appserver_state state{};
    state.size = sizeof(state);
    result = lifecycle()->save_state(self(), &state);
    return state;
  }
  void drain() { host_.get<appserver::testing::LifecycleHost>().drain(); }
  const appserver_lifecycle_plugin* lifecycle() const {
    return static_cast<const appserver_lifecycle_plugin*>(table_.extension(APPSERVER_LIFECYCLE));
  }
  // For answers given within on_request.
  Answer get(const std::string& target) { return host_.answer(request({.target = target})); }

 private:
  Host& host_;
  const appserver_plugin& table_;
};

}  // namespace fake

// A plugin whose hooks are the test's own: the setting "script" holds the address of an object of
// the test, which is in this process.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>
#include <appserver/abi/lifecycle.h>

#include <cstdint>

namespace appserver::test {

class ScriptedPlugin {
 public:
  virtual ~ScriptedPlugin() = default;
  virtual std::int32_t create(const appserver_host* host, appserver_worker* worker) noexcept = 0;
  virtual void destroy() noexcept = 0;
  virtual std::int32_t self_check() noexcept { return APPSERVER_OK; }
  virtual std::int32_t on_worker_start() noexcept = 0;
  virtual void on_worker_reload() noexcept = 0;
  virtual void on_worker_stop() noexcept = 0;
  virtual std::int32_t save_state(appserver_state*) noexcept { return APPSERVER_NOT_FOUND; }
  virtual void on_worker_drain() noexcept {}
  virtual std::int32_t on_request(const appserver_http_request* request,
                                  appserver_exchange exchange) noexcept = 0;
};

}  // namespace appserver::test

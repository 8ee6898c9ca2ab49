// The SDK's host in memory, by the names of these tests.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <appserver/detail/testing/extensions.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace fake {

using Settings = appserver::testing::SettingMap;
using appserver::testing::Answer;
using appserver::testing::Asked;
using appserver::testing::Fields;
using appserver::testing::State;

class Host final : public appserver::testing::Host {
 public:
  explicit Host(Settings settings = {})
      : appserver::testing::Host({.settings = std::move(settings),
                                  .slot = 3,
                                  .generation = 7,
                                  .group = "fake-group",
                                  .build = "0123abcd"}) {}

  void advance(std::uint64_t milliseconds) {
    appserver::testing::Host::advance(std::chrono::milliseconds(milliseconds));
  }

  const auto& asked() const { return get<appserver::testing::ClientHost>().asked(); }
  void answer_call(appserver_http_call call, std::uint32_t status, const Fields& headers,
                   std::string_view body) {
    get<appserver::testing::ClientHost>().answer(call, status, headers, body);
  }
  void fail_call(appserver_http_call call, std::uint32_t failure, std::string_view message) {
    get<appserver::testing::ClientHost>().fail(call, failure, message);
  }
  // What a predecessor has left, for on_worker_start.
  void leave(std::uint32_t version, std::string bytes) {
    get<appserver::testing::LifecycleHost>().leave({version, std::move(bytes)});
  }
  void set_write_bound(std::size_t bytes) { http().set_write_bound(bytes); }
  Answer answer(appserver_exchange id) const { return http().answer(id); }
  Answer wait(appserver_exchange id) const { return http().wait(id); }
  void disconnect(appserver_exchange id) { http().disconnect(id); }
  void read(appserver_exchange id) { http().read(id); }

 private:
  using Http = appserver::testing::HttpHost;
  Http& http() { return get<Http>(); }
  const Http& http() const { return get<Http>(); }
};

}  // namespace fake

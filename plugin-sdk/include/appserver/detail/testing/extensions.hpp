// Which extensions of the ABI a host in memory has. One more is: a class as HttpHost or StreamHost,
// in a file of its own, and its name in the list below.
#pragma once

#include <appserver/abi.h>

#include <appserver/detail/testing/bus_host.hpp>
#include <appserver/detail/testing/client_host.hpp>
#include <appserver/detail/testing/connect_host.hpp>
#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/fd_host.hpp>
#include <appserver/detail/testing/gateway_host.hpp>
#include <appserver/detail/testing/http_host.hpp>
#include <appserver/detail/testing/lifecycle_host.hpp>
#include <appserver/detail/testing/stream_host.hpp>
#include <appserver/detail/testing/udp_host.hpp>
#include <string_view>
#include <tuple>
#include <utility>

namespace appserver::testing {

// Each is constructed from Core&, and has kName and table().
template <class... Each>
class ExtensionList {
 public:
  explicit ExtensionList(Core& core) : all_((static_cast<void>(sizeof(Each)), core)...) {}

  template <class T>
  T& get() {
    return std::get<T>(all_);
  }

  static const void* table(const char* name) noexcept {
    const void* found = nullptr;
    const std::string_view wanted = name;
    static_cast<void>(((wanted == Each::kName && (found = Each::table(), true)) || ...));
    return found;
  }

 private:
  std::tuple<Each...> all_;
};

using Extensions = ExtensionList<BusHost, ClientHost, ConnectHost, FdHost, GatewayHost, HttpHost,
                                 LifecycleHost, StreamHost, UdpHost>;

// A worker's host, all of it.
class Host : public Core {
 public:
  explicit Host(Options options = {}) : Core(std::move(options)), known_(*this) {
    table().extension = &Extensions::table;
  }

  template <class T>
  T& get() {
    return known_.get<T>();
  }
  template <class T>
  const T& get() const {
    return const_cast<Host*>(this)->known_.get<T>();
  }

 private:
  Extensions known_;
};

}  // namespace appserver::testing

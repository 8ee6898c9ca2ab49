// The table of "udp/1" for a plugin class: noexcept trampolines, and nothing else.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/udp.h>

#include <appserver/datagram.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/overrides.hpp>
#include <appserver/detail/text.hpp>
#include <cstdint>
#include <string_view>

namespace appserver::detail {

// Instance is what Adapter makes: host, raw_worker, hooks, udp.
template <class Class, class Base, class Instance>
class UdpAdapter {
 public:
  static constexpr bool kUsed = overrides_on_datagram<Class, Base>();

  static const appserver_udp_plugin* table() noexcept { return &kTable; }

 private:
  static std::int32_t on_datagram(void* self, const appserver_datagram* raw) noexcept {
    Instance& at = *static_cast<Instance*>(self);
    try {
      Datagram datagram(at.udp, at.raw_worker, *raw);
      at.hooks.on_datagram(datagram);
      return APPSERVER_OK;
    } catch (...) {
      with_description("on_datagram", [&](std::string_view text) {
        at.host->report_error(at.raw_worker, str(text));
      });
      return APPSERVER_ERROR;
    }
  }

  static constexpr appserver_udp_plugin kTable{sizeof(appserver_udp_plugin), 0, &on_datagram};
};

}  // namespace appserver::detail

#include "os/notify.hpp"

#include <systemd/sd-daemon.h>

#include <cstdint>

namespace appserver::os {

bool notify_service_manager(const std::string& state) { return ::sd_notify(0, state.c_str()) >= 0; }

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t interval = 0;
  if (::sd_watchdog_enabled(0, &interval) <= 0) return std::nullopt;
  return std::chrono::microseconds(interval);
}

}  // namespace appserver::os

// Telling the service manager: sd_notify(3), sd_watchdog_enabled(3). Does nothing where there is
// none.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace appserver::os {

// For example "READY=1" or "STATUS=serving". False where the manager could not be told.
bool notify_service_manager(const std::string& state);

// How often the manager wants WATCHDOG=1 at least.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace appserver::os

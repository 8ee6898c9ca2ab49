// What a worker's age, size and heartbeat ask for. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "config/config.hpp"
#include "supervisor/restart_policy.hpp"

namespace appserver::supervisor {

// How often workers are looked at.
inline constexpr milliseconds kHealthInterval{500};

struct Vitals {
  std::uint64_t requests = 0;
  std::uint64_t resident_bytes = 0;
  milliseconds uptime{0};
};

// Why the worker is to be replaced by a fresh one: "max_requests (10000) reached"; nullopt: it is
// not.
std::optional<std::string> why_recycle(const config::Recycle& limits, const Vitals& vitals);

bool is_too_large(const config::Recycle& limits, const Vitals& vitals);

// Whether we ourselves stood still (a suspended machine, SIGSTOP): then heartbeats say nothing of
// the workers until they have had the time to catch up.
class OwnStall {
 public:
  // To be called when the looking begins, and each kHealthInterval.
  void look(Time now);
  bool is_over(Time now, milliseconds hang_timeout) const {
    return !stalled_at_ || now - *stalled_at_ >= hang_timeout;
  }

 private:
  std::optional<Time> last_;
  std::optional<Time> stalled_at_;
};

}  // namespace appserver::supervisor

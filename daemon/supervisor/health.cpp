#include "supervisor/health.hpp"

#include <fmt/format.h>

namespace appserver::supervisor {

bool is_too_large(const config::Recycle& limits, const Vitals& vitals) {
  return limits.max_memory.value > 0 && vitals.resident_bytes >= limits.max_memory.value;
}

std::optional<std::string> why_recycle(const config::Recycle& limits, const Vitals& vitals) {
  if (limits.max_requests > 0 && vitals.requests >= limits.max_requests)
    return fmt::format("max_requests ({}) reached", limits.max_requests);
  if (is_too_large(limits, vitals)) {
    return fmt::format("max_memory ({} MiB) reached: {} MiB", limits.max_memory.value >> 20,
                       vitals.resident_bytes >> 20);
  }
  if (limits.max_lifetime.count() > 0 && vitals.uptime >= limits.max_lifetime) {
    return fmt::format(
        "max_lifetime ({} s) reached",
        std::chrono::duration_cast<std::chrono::seconds>(limits.max_lifetime).count());
  }
  return std::nullopt;
}

void OwnStall::look(Time now) {
  if (last_ && now - *last_ > 4 * kHealthInterval) stalled_at_ = now;
  last_ = now;
}

}  // namespace appserver::supervisor

// What the daemon of a test holds at rest: after hundreds of operations no more than before.
#pragma once

#include <string>

#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/sanitized.hpp"

namespace appserver::integration {

// Allocators keep what they once had; a leak of a few hundred bytes an operation would still go
// beyond this. A sanitizer's quarantine and shadow grow with use.
inline constexpr std::uint64_t kMemorySlack = kSanitized ? 512u << 20 : 1u << 20;

struct Holdings {
  Census census;
  std::size_t files = 0;
  std::string descriptors;
};

// Waits until every old worker and every control connection is gone. For a daemon with one group,
// "api".
Holdings holdings_of(const Daemon& daemon, const Site& site);

// Fails the test where something has grown.
void require_no_growth(const Holdings& before, const Holdings& after);

}  // namespace appserver::integration

// What supervisor and worker agree on beyond their messages.
#pragma once

#include <cstddef>

namespace appserver::channel {

// The descriptor on which a worker finds its channel; 0 to 2 are its standard streams.
inline constexpr int kWorkerChannel = 3;

// The descriptors of the boot message, in this order; the listeners follow, and
// behind them, of a group under TLS, a sealed memory file of its certificates::Material.
inline constexpr std::size_t kBootRecord = 0;
inline constexpr std::size_t kBootPage = 1;
inline constexpr std::size_t kBootLog = 2;
inline constexpr std::size_t kFirstListener = 3;

// Exit code of a worker whose plugin called exit(3).
inline constexpr int kExitedInPlugin = 70;

}  // namespace appserver::channel

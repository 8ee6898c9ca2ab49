// What a worker leaves to the next one of its slot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace appserver {

// What on_save_state fills: at most 16 MiB. The version is the plugin's own and says how `bytes` is
// laid out: another build may get it, also an older one.
struct SavedState {
  std::uint32_t version = 0;
  std::string bytes;
};

// What a worker gets of it; valid until on_worker_start returns.
struct PredecessorState {
  std::uint32_t version = 0;
  std::string_view bytes;
};

}  // namespace appserver

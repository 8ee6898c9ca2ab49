// How many workers may stand beside those that run, given the memory there is. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace appserver::supervisor {

inline constexpr std::uint64_t kUnknownMemory = std::numeric_limits<std::uint64_t>::max();

struct SurgeInput {
  std::uint32_t surge = 1;         // wanted
  std::uint64_t worker_bytes = 0;  // of the group's largest worker; 0: not known
  std::uint64_t available = 0;     // that the system or the cgroup can still give; kUnknownMemory
  std::uint64_t reserve = 0;       // of it, to be left free
};

struct SurgePlan {
  std::uint32_t surge = 1;
  bool stop_first = false;  // not even one fits beside the others: the old one goes first
  std::string text;         // "surge 2 needs 280M, 6.1G free"; says what it fell back to and why
};

// The wanted surge where it fits or where that is not known; else 1; else stop_first.
SurgePlan plan_surge(const SurgeInput& input);

enum class RecycleWay {
  start_first,  // the fresh worker starts beside the old one
  stop_first,   // the old one goes first, others serve meanwhile
  wait,         // for memory
};

struct RecyclePlan {
  RecycleWay way = RecycleWay::start_first;
  std::string text;  // why not start_first: "a fresh worker needs 140M, 100M free"; else empty
};

// How one worker is replaced by a fresh one. `is_too_large`: it is for its own size, so that
// waiting makes it worse.
RecyclePlan plan_recycling(const SurgeInput& input, bool is_too_large, bool others_serve);

}  // namespace appserver::supervisor

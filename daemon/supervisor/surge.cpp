#include "supervisor/surge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace appserver::supervisor {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

std::uint64_t bytes_of(std::uint32_t workers, std::uint64_t worker_bytes) {
  return worker_bytes > kMost / workers ? kMost : worker_bytes * workers;
}

std::string human(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits{"B", "K", "M", "G", "T", "P", "E"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.{}f}{}", value, unit > 0 && value < 9.95 ? 1 : 0, kUnits[unit]);
}

std::string describe_free(const SurgeInput& input) {
  if (input.reserve == 0) return fmt::format("{} free", human(input.available));
  return fmt::format("{} free of which {} are to stay so", human(input.available),
                     human(input.reserve));
}

}  // namespace

SurgePlan plan_surge(const SurgeInput& input) {
  const std::uint32_t wanted = std::max<std::uint32_t>(input.surge, 1);
  if (input.worker_bytes == 0 || input.available == kUnknownMemory) {
    return {
        wanted, false,
        fmt::format("surge {}, {} is not known", wanted,
                    input.worker_bytes == 0 ? "what a worker needs" : "how much memory is free")};
  }
  const std::uint64_t free = input.available - std::min(input.available, input.reserve);
  const std::uint64_t needs = bytes_of(wanted, input.worker_bytes);
  const std::string text =
      fmt::format("surge {} needs {}, {}", wanted, human(needs), describe_free(input));
  if (needs <= free) return {wanted, false, text};
  if (input.worker_bytes <= free) return {1, false, text + ": one worker at a time instead"};
  return {1, true,
          text +
              ": no room for even one beside the others, so that each worker stops before its "
              "successor starts"};
}

RecyclePlan plan_recycling(const SurgeInput& input, bool is_too_large, bool others_serve) {
  SurgeInput one = input;
  one.surge = 1;
  if (!plan_surge(one).stop_first) return {};
  const RecycleWay way = is_too_large && others_serve ? RecycleWay::stop_first : RecycleWay::wait;
  return {way, fmt::format("a fresh worker needs {}, {}", human(input.worker_bytes),
                           describe_free(input))};
}

}  // namespace appserver::supervisor

#include <fmt/format.h>

#include <array>
#include <limits>
#include <string_view>

#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 10> kReloadKeys = {
    "surge",    "start_timeout",  "min_ready",      "drain_timeout", "probe",
    "deadline", "confirm_within", "reserve_memory", "close_spread",  "canary"};
constexpr std::array<std::string_view, 4> kCanaryKeys = {"slots", "hold", "min_requests",
                                                         "on_inconclusive"};
constexpr std::array<std::string_view, 3> kRecycleKeys = {"max_requests", "max_memory",
                                                          "max_lifetime"};
constexpr milliseconds kShortestDeadline{1000};
// Below these a worker would be replaced for doing its work.
constexpr milliseconds kShortestHang{100};
constexpr milliseconds kShortestLifetime{1000};
constexpr Bytes kLeastMemory{1u << 20};

void read_canary(const Section& section, Canary& canary) {
  section.read("slots", IntegerRule{0, 1024}, canary.slots);
  section.read("hold", DurationRule{kShortestWait}, canary.hold);
  section.read("min_requests", IntegerRule{0, std::numeric_limits<std::uint32_t>::max()},
               canary.min_requests);
  section.read("on_inconclusive", InconclusiveRule{}, canary.on_inconclusive);
}

}  // namespace

void read_reload(const Section& group, std::optional<std::uint32_t> count, Reload& reload) {
  const Section section = group.section("reload", kReloadKeys);
  section.read("surge", IntegerRule{1, 1024}, reload.surge);
  section.read("start_timeout", DurationRule{kShortestWait}, reload.start_timeout);
  section.read("min_ready", DurationRule{}, reload.min_ready);
  section.read("drain_timeout", DurationRule{}, reload.drain_timeout);
  section.read("probe", ProbeRule{}, reload.probe);
  section.read("deadline", DurationRule{kShortestDeadline}, reload.deadline);
  section.read("confirm_within", DurationRule{}, reload.confirm_within);
  section.read("reserve_memory", SizeRule{}, reload.reserve_memory);
  section.read("close_spread", DurationRule{}, reload.close_spread);
  const Section canary = section.section("canary", kCanaryKeys);
  read_canary(canary, reload.canary);
  if (count && reload.canary.slots > 0 && reload.canary.slots >= *count) {
    canary.scope().complain(
        *canary.find("slots")->value,
        fmt::format("{}: expected less than count ({}), got {}; somebody must be left to compare "
                    "with",
                    canary.path_of("slots"), *count, reload.canary.slots));
  }
}

void read_recycle(const Section& group, Recycle& recycle) {
  const Section section = group.section("recycle", kRecycleKeys);
  section.read("max_requests", IntegerRule{0, std::numeric_limits<std::int64_t>::max()},
               recycle.max_requests);
  section.read("max_memory", SizeOrOffRule{kLeastMemory}, recycle.max_memory);
  section.read("max_lifetime", DurationOrOffRule{kShortestLifetime}, recycle.max_lifetime);
}

void read_hang_timeout(const Section& group, milliseconds& hang_timeout) {
  group.read("hang_timeout", DurationOrOffRule{kShortestHang}, hang_timeout);
}

}  // namespace appserver::config

#include "supervisor/probation.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace appserver::supervisor {

std::string words_for_crash_loop(const std::string& group) {
  return fmt::format("{} crash-loops within reload.confirm_within of its rollout", group);
}

std::optional<std::string> Probation::crash_looping(const std::string& group, Time now) const {
  const auto window = windows_.find(group);
  if (left_to_people_ || window == windows_.end() || now > window->second) return std::nullopt;
  return words_for_crash_loop(group);
}

std::optional<std::string> Probation::tick(Time now) const {
  if (left_to_people_ || !confirm_by_ || now < *confirm_by_) return std::nullopt;
  return "it was not confirmed in time";
}

void Probation::follow(std::uint64_t release, const std::map<std::string, Time>& windows) {
  release_ = release;
  for (const auto& [group, until] : windows) windows_[group] = until;
}

std::optional<Time> Probation::next_deadline(Time now) const {
  if (left_to_people_) return std::nullopt;
  if (confirm_by_) return confirm_by_;
  std::optional<Time> last;
  for (const auto& [group, until] : windows_) {
    if (until > now) last = std::max(last.value_or(until), until);
  }
  return last;
}

}  // namespace appserver::supervisor

// A release that has been rolled out but must still prove itself: its groups must not crash-loop
// soon after, and where somebody asked for it, a person must confirm it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "supervisor/restart_policy.hpp"

namespace appserver::supervisor {

std::string words_for_crash_loop(const std::string& group);

class Probation final {
 public:
  // `windows`: until when a crash-loop of a group counts against the release. `confirm_by`: when it
  // is reverted without a confirm().
  Probation(std::uint64_t release, std::map<std::string, Time> windows,
            std::optional<Time> confirm_by)
      : release_(release), windows_(std::move(windows)), confirm_by_(confirm_by) {}

  std::uint64_t release() const { return release_; }
  bool waits_for_confirm() const { return confirm_by_.has_value(); }
  bool is_left_to_people() const { return left_to_people_; }
  std::optional<Time> confirm_by() const { return confirm_by_; }
  const std::map<std::string, Time>& windows() const { return windows_; }

  // Why the release is to be reverted; nullopt where it stays.
  std::optional<std::string> crash_looping(const std::string& group, Time now) const;
  std::optional<std::string> tick(Time now) const;
  void confirm() { confirm_by_.reset(); }
  // Another release was built upon it: `windows` are of the groups that this one rolled.
  void follow(std::uint64_t release, const std::map<std::string, Time>& windows);
  // The way back failed: only a person can try again, or confirm.
  void leave_to_people() { left_to_people_ = true; }

  // Nullopt: there is nothing more to wait for.
  std::optional<Time> next_deadline(Time now) const;

 private:
  std::uint64_t release_;
  std::map<std::string, Time> windows_;
  std::optional<Time> confirm_by_;
  bool left_to_people_ = false;
};

}  // namespace appserver::supervisor

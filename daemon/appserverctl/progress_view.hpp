// A rollout on a terminal: a bar for each group under way, redrawn in place, and every other event
// as a line above them. Pure: gives the bytes to write.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/api.hpp"

namespace appserver::appserverctl {

struct Bar {
  std::string group{};
  std::uint32_t slots = 0;
  std::uint32_t done = 0;
  std::string step{};  // "ready pid 4713"
};

// "api  [########........] 2/4  ready pid 4713", at most so many columns, the group's name padded
// to `name_width`.
std::string print_bar(const Bar& bar, std::size_t name_width, std::size_t columns);

class ProgressView {
 public:
  explicit ProgressView(std::size_t columns) : columns_(columns) {}

  // What to write for an event that is not `done`. Nothing else may have been written since the
  // call before. The cursor stays at the begin of the line below the bars.
  std::string show(const control::RolloutEvent& event);

 private:
  Bar* find(const std::string& group);
  std::string move_bar(const control::RolloutEvent& event);
  std::string finish_bar(const control::RolloutEvent& event);

  std::size_t columns_;
  std::size_t name_width_ = 0;
  std::vector<Bar> bars_;  // in the order of their begin
  std::size_t drawn_ = 0;  // lines below what stays
};

}  // namespace appserver::appserverctl

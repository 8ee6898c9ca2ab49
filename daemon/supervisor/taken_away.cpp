#include "supervisor/taken_away.hpp"

#include <utility>

namespace appserver::supervisor {

void TakenAway::seen(std::set<std::string> away) {
  away_ = std::move(away);
  const auto is_back = [this](const std::string& name) { return !away_.contains(name); };
  std::erase_if(in_hand_, is_back);
  std::erase_if(settled_, is_back);
}

std::set<std::string> TakenAway::hand_over() {
  in_hand_ = away_;
  std::erase_if(in_hand_, [this](const std::string& name) { return settled_.contains(name); });
  return in_hand_;
}

void TakenAway::ended(bool well) {
  if (well) settled_.merge(in_hand_);
  in_hand_.clear();
}

}  // namespace appserver::supervisor

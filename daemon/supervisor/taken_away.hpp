// The descriptions that were seen to be taken away from the plugin folder, until a rollout that
// knows of it has ended well. Pure.
#pragma once

#include <set>
#include <string>

namespace appserver::supervisor {

class TakenAway final {
 public:
  // NAMEs that are away now, for all that was seen. What was away before and is not among them is
  // there again, or nobody knows any more: it is forgotten.
  void seen(std::set<std::string> away);
  // What the rollout that begins is to know of; until ended() no other one begins.
  std::set<std::string> hand_over();
  // Not `well`: the next one is told again.
  void ended(bool well);

 private:
  std::set<std::string> away_;
  std::set<std::string> in_hand_;  // a rollout knows of these, and has not ended
  std::set<std::string> settled_;  // one has ended well
};

}  // namespace appserver::supervisor

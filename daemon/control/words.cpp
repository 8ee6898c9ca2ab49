#include "control/words.hpp"

namespace appserver::control {

std::string_view to_word(DaemonState state) { return word_of(kDaemonStates, state); }
std::string_view to_word(GroupState state) { return word_of(kGroupStates, state); }
std::string_view to_word(CertificateState state) { return word_of(kCertificateStates, state); }
std::string_view to_word(WorkerState state) { return word_of(kWorkerStates, state); }
std::string_view to_word(EventKind kind) { return word_of(kEventKinds, kind); }
std::string_view to_word(RolloutResult result) { return word_of(kRolloutResults, result); }
std::string_view to_word(RolloutState state) { return word_of(kRolloutStates, state); }

int exit_code(RolloutResult result) {
  switch (result) {
    case RolloutResult::done:
      return 0;
    case RolloutResult::failed:
    case RolloutResult::stopped:
      return 1;
    case RolloutResult::refused:
      return 3;
    case RolloutResult::rolled_back:
      return 4;
    case RolloutResult::partial:
      return 5;
    case RolloutResult::busy:
      return 6;
  }
  return 1;
}

}  // namespace appserver::control

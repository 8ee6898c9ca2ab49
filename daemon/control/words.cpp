#include "control/words.hpp"

namespace appserver::control {

std::string_view to_word(DaemonState state) { return word_of(kDaemonStates, state); }
std::string_view to_word(GroupState state) { return word_of(kGroupStates, state); }
std::string_view to_word(CertificateState state) { return word_of(kCertificateStates, state); }
std::string_view to_word(WorkerState state) { return word_of(kWorkerStates, state); }
std::string_view to_word(EventKind kind) { return word_of(kEventKinds, kind); }

std::string_view to_words(EventKind kind) {
  switch (kind) {
    case EventKind::rollout_started:
      return "started";
    case EventKind::preflight:
      return "preflight";
    case EventKind::plan:
      return "plan";
    case EventKind::group_kept:
      return "kept";
    case EventKind::group_added:
      return "added";
    case EventKind::group_removed:
      return "removed";
    case EventKind::group_started:
      return "reloading";
    case EventKind::slot_starting:
      return "starting";
    case EventKind::slot_ready:
      return "ready";
    case EventKind::slot_draining:
      return "draining";
    case EventKind::slot_replaced:
      return "replaced";
    case EventKind::slot_failed:
      return "FAILED";
    case EventKind::canary_holding:
      return "canary holding";
    case EventKind::canary_judged:
      return "canary judged";
    case EventKind::rolled_back:
      return "rolled back";
    case EventKind::group_done:
      return "done";
    case EventKind::message:
    case EventKind::done:
      return "";
  }
  return "";
}

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

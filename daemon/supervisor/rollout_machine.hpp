// A rollout across groups, from its plan to its verdict. Pure: events go in, effects come out; the
// rollout carries them out. What happens within a group is the group machine's.
//
// clang-format off
//   state         event                        next         effects
//   -             begin                        preflight    Preflight(each, one by one)
//   preflight     one fails, or abort()        over         Finish(refused)
//   preflight     all passed, and it is a dry  over         Finish(done)
//                 run or keeps everything
//   preflight     all passed                   entering     Enter
//   entering      written                      rolling      Roll(first)
//   entering      cannot be written, abort()   over         Finish(refused)
//   rolling       a group is done              rolling      Roll(next)
//   rolling       all are done                 committing   Commit
//   rolling       a group was rolled back      reverting    Revert(those done, last one first)
//   rolling       one that is done, with new   rolling      GiveUp(the one that rolls), and then
//                 code, crash-loops                         reverting, however that one ends
//   committing    written                      removing     End(each group that is taken away)
//   committing    cannot be written            reverting    Revert(...)
//   removing      all have ended               over         Finish(done, or partial: some were cut)
//   reverting     all are back                 recording    Record
//   recording     written, or not              over         Finish(rolled_back, or partial: one is
//                                                           not back)
//   any but over  stop()                       over         Finish(stopped)
// clang-format on
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "control/api.hpp"
#include "supervisor/group_machine.hpp"

namespace appserver::supervisor {

enum class Change {
  keep,    // stays as it runs
  add,     // starts, with every gate
  roll,    // every worker is replaced
  resize,  // workers stay, slots come or go
  remove,  // ends after everything else has gone well
};

struct PlannedChange {
  std::string group;
  Change change = Change::keep;
};

namespace rollout_effect {
struct Preflight {
  std::string group;
};
// The rollout is to stand in the history before it touches anything.
struct Enter {};
struct Roll {
  std::string group;
  Change change;
};
// Back to what ran before; an added group ends.
struct Revert {
  std::string group;
  Change change;
};
// The group that rolls, for `why`; where it is past that point it ends as it may, and goes back
// then.
struct GiveUp {
  std::string group;
  std::string why;
};
struct End {
  std::string group;
};
struct Commit {};
struct Record {
  std::string why;  // it came to nothing
};
struct Finish {
  control::RolloutResult result;
  std::string why;  // where it is not `done`
};
}  // namespace rollout_effect

using RolloutEffect =
    std::variant<rollout_effect::Preflight, rollout_effect::Enter, rollout_effect::Roll,
                 rollout_effect::Revert, rollout_effect::GiveUp, rollout_effect::End,
                 rollout_effect::Commit, rollout_effect::Record, rollout_effect::Finish>;
using RolloutEffects = std::vector<RolloutEffect>;

class RolloutMachine final {
 public:
  enum class State {
    preflight,
    entering,
    rolling,
    committing,
    removing,
    reverting,
    recording,
    over
  };

  // `plan` in the order in which it is to be carried out; removals come last by themselves.
  RolloutMachine(std::vector<PlannedChange> plan, bool dry_run);

  RolloutEffects begin();
  RolloutEffects preflighted(const std::string& why_not);  // empty: passed
  RolloutEffects entered(const std::string& why_not);      // empty: written
  RolloutEffects rolled(Outcome outcome, const std::string& why);
  RolloutEffects reverted(Outcome outcome, const std::string& why);
  RolloutEffects ended(const std::string& group);
  RolloutEffects committed(const std::string& why_not);  // empty: written
  RolloutEffects recorded(const std::string& problem);   // empty: written
  // A group whose workers die again and again. Nothing where has_new_code_in() it is not, where it
  // goes back already, or where the release may be committed.
  RolloutEffects crash_looping(const std::string& group);
  // Whether what the group runs now is what this rollout has brought; not while it rolls.
  bool has_new_code_in(const std::string& group) const;
  // Connections that were cut while draining; `by` names the worker that died with them, if any.
  void add_cut(std::uint64_t count, const std::string& by = {});
  // Before the first group rolls it is refused; later the group that rolls is to be told to give
  // up, and its end comes by rolled().
  RolloutEffects abort(const std::string& why);
  RolloutEffects stop(const std::string& why);

  State state() const { return state_; }
  // It fails, also while a group still rolls.
  bool gives_up() const { return !reason_.empty(); }
  // The group that is rolling or being reverted, or is in its preflight.
  const std::string& group() const { return current_; }
  std::uint64_t cut() const { return cut_; }

 private:
  RolloutEffects finish(control::RolloutResult result, std::string why);
  RolloutEffects next_preflight();
  RolloutEffects next_roll();
  RolloutEffects revert_next();
  RolloutEffects remove_all();
  RolloutEffects finish_well();
  std::string describe_cut() const;

  std::vector<PlannedChange> plan_;
  bool dry_run_;
  State state_ = State::preflight;
  std::size_t position_ = 0;
  std::string current_;
  std::vector<PlannedChange> done_;
  std::vector<std::string> ending_;
  std::string reason_;
  std::uint64_t cut_ = 0;
  std::vector<std::pair<std::uint64_t, std::string>> died_with_;  // the part of that, by whom
  bool stuck_ = false;
};

}  // namespace appserver::supervisor

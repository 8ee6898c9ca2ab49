// Everything that runs but must still prove itself, the ways back that are due because it did not,
// and what becomes of both when another release follows or the daemon starts again. Pure.
//
// clang-format off
//   event                            a release on probation             a group carried on alone
//   crash_looping(G) in G's window   the release is due                 G is due
//   tick() without a confirm(),      the release is due                 -
//   give_up()
//   confirm()                        stays due for a crash-loop alone   -
//   follow(), G is rolled            G's crash-loop is forgotten        ends
//   follow(), built upon it          stays, and stays due               stays
//   follow(), any other one          its groups are carried on alone,   stays; ends where its time
//                                    those that crash-loop whatever     is over and it is not due
//                                    their time: they are due alone
//   its time is over                 ends, where it is not due          ends with the next follow()
// clang-format on
//
// What is due waits until no rollout runs: then take_way_back().
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "supervisor/prepare.hpp"
#include "supervisor/probation.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

class Trials final {
 public:
  // What a rollout has brought about, or is about to.
  struct Step {
    std::uint64_t release = 0;            // in force because of it
    std::uint64_t before = 0;             // what ran before; 0: nothing
    std::vector<std::string> rolled;      // the groups whose workers are new
    std::map<std::string, Time> windows;  // of those that have one
  };

  Trials() = default;
  // As they were recorded. None lasts longer from now than its group's reload.confirm_within, for
  // the clock may have been set; those of groups that do not run are dropped.
  Trials(const std::vector<Trial>& recorded, const std::vector<GroupReleasePtr>& running, Time now,
         std::chrono::system_clock::time_point clock);

  void follow(const RolloutRequest& request, const Step& step, Time now);
  // For the record of the release that runs. That somebody is to confirm it is not part of it: a
  // restart goes back then.
  std::vector<Trial> to_record(Time now, std::chrono::system_clock::time_point clock) const;

  // The release that goes back as a whole, and where to. Null: there is none.
  const Probation* probation() const { return probation_ ? &*probation_ : nullptr; }
  std::uint64_t before() const { return before_; }
  void end_probation();
  bool waits_for_confirm() const { return probation_ && probation_->waits_for_confirm(); }
  void confirm();
  // The way back of the release failed: only a person can try again, or confirm.
  void leave_to_people();

  void crash_looping(const std::string& group, Time now);
  void tick(Time now);
  // Only where a release is on probation.
  void give_up(std::string why);
  // When to tick(); nullopt: there is nothing to wait for, and a probation whose time is over has
  // ended.
  std::optional<Time> next_deadline(Time now);

  struct WayBack {
    std::uint64_t before = 0;   // where to
    std::uint64_t release = 0;  // what goes back as a whole, and stays on probation; 0: the group
    std::string group;          // what goes back alone, and has nothing to prove any more
    std::string why;
  };
  // Each way back is given once, that of the release on probation first.
  std::optional<WayBack> take_way_back();

  // A group that goes back alone: its own release is still to prove itself though another one, of
  // other groups, has followed. Null: it is none.
  struct Carried {
    Time until;
    std::uint64_t before = 0;
  };
  const Carried* carried(const std::string& group) const;

  // The releases that something may still go back to.
  std::set<std::uint64_t> ways_back() const;

 private:
  void carry_over(const std::vector<std::string>& rolled, Time now);
  bool crashed(const std::string& group) const { return crashed_.contains(group); }
  const std::string* why_release_is_due() const;
  // Forgets the crash-loops of groups that go back with nothing any more.
  void forget_crashes();

  std::optional<Probation> probation_;
  std::uint64_t before_ = 0;
  std::map<std::string, Carried> carried_;
  // Why these go back: each is on probation, or carried.
  std::map<std::string, std::string> crashed_;
  std::optional<std::string> unproved_;  // why the release on probation goes back besides
};

}  // namespace appserver::supervisor

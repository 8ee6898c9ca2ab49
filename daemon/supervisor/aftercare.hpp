// What comes after a rollout: what it brought is on probation for a while, and goes back by itself
// where it does not prove itself or nobody confirms it.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "supervisor/rollout.hpp"
#include "supervisor/trials.hpp"

namespace appserver::supervisor {

// Lives on the supervisor's loop.
class Aftercare final {
 public:
  struct Hooks {
    std::function<const Rollout*()> running;    // null: none
    std::function<void(RolloutRequest)> begin;  // called only while none runs
  };

  // `release` runs, and of that `trials` are left from before the daemon was started.
  Aftercare(RolloutTargets targets, std::uint64_t release, const std::vector<Trial>& trials,
            Hooks hooks);
  Aftercare(const Aftercare&) = delete;
  Aftercare& operator=(const Aftercare&) = delete;

  // What is asked for while a release waits for its confirm is built upon that one, and waits
  // along.
  void adapt(RolloutRequest& request) const;
  // The rollout is over, and no other one runs yet.
  void rollout_ended(const RolloutRequest& request, const Rollout::End& end);
  // See Rollout::TrialsAfter.
  std::vector<Trial> trials_after(const RolloutRequest& request, std::uint64_t release,
                                  const std::vector<std::string>& rolled) const;
  // Begins a way back that is due, where no rollout runs; otherwise call it again when that is
  // over.
  void go_back_if_due();
  void crash_looping(const std::string& group);
  // Nothing is taken back any more.
  void stop();

  // As control::Commands.
  std::string confirm(const std::string& who);
  // Takes back what waits for its confirm; nullopt where nothing does.
  std::optional<std::string> abort(const std::string& who);

  // The release that the rollout at hand takes back; 0: none.
  std::uint64_t reverting() const { return reverting_; }
  std::optional<Time> confirm_by() const;
  // What needs a person; for the status.
  const std::optional<std::string>& stuck() const { return stuck_; }
  // The release that runs; not that on disk, while it waits for a confirm.
  std::uint64_t release() const { return release_; }
  // The releases whose builds it may still go back to.
  std::set<std::uint64_t> ways_back() const { return trials_.ways_back(); }

 private:
  void reverted(const std::string& why, const Rollout::End& end);
  std::map<std::string, Time> windows_of(const std::vector<std::string>& rolled) const;
  void follow(const RolloutRequest& request, const Rollout::End& end);
  void arm_timer();
  void revert(const Trials::WayBack& back);
  // Rewrites the record of the release that was on probation, and puts builds that it brought in
  // quarantine.
  void settle_record(std::uint64_t release, std::string result, bool good,
                     std::vector<Quarantine::Entry> bad = {});
  // The builds of a release that the one before it did not have.
  std::vector<Quarantine::Entry> new_builds(std::uint64_t release, const std::string& why) const;

  RolloutTargets targets_;
  Hooks hooks_;
  Trials trials_;
  std::optional<std::string> stuck_;
  std::uint64_t reverting_ = 0;  // the release that the rollout at hand takes back
  boost::asio::steady_timer timer_;
  std::uint64_t release_ = 0;
  bool stopping_ = false;
};

}  // namespace appserver::supervisor

// All rollouts of a daemon: one runs, one waits, the last one is remembered, and what it brought is
// on probation for a while.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/commands.hpp"
#include "supervisor/probation.hpp"
#include "supervisor/rollout.hpp"

namespace appserver::supervisor {

class Rollouts final {
 public:
  struct Hooks {
    std::function<void()> begun;
    std::function<void(const Rollout::End&)> ended;  // and no other one begins at once
  };

  // `view` is what the archive holds now.
  Rollouts(RolloutTargets targets, std::shared_ptr<const ArchiveView> view, Hooks hooks);
  Rollouts(const Rollouts&) = delete;
  Rollouts& operator=(const Rollouts&) = delete;

  // Begins it, or lets it wait. One like the one that waits joins that; any other one is told to
  // come back.
  void ask(RolloutRequest request, std::shared_ptr<control::EventStream> events);
  // The plugin folder has changed. Never lost: its turn comes when nobody else waits.
  void folder_changed();
  // Nothing begins any more.
  void stop(const std::string& why);

  bool running() const { return running_ != nullptr; }
  void group_stopped(const std::string& group);
  void crash_looping(const std::string& group);

  // As control::Commands.
  std::string abort(const std::string& who);
  std::string proceed(const std::string& who);
  std::string confirm(const std::string& who);
  void watch(std::shared_ptr<control::EventStream> events);
  std::optional<control::RolloutStatus> status() const;

  const ArchiveView& view() const { return *view_; }
  void replace_view(std::shared_ptr<const ArchiveView> view) { view_ = std::move(view); }
  // What needs a person; for the status.
  const std::optional<std::string>& stuck() const { return stuck_; }
  // The release that runs; not that on disk, while it waits for a confirm.
  std::uint64_t release() const { return release_; }

 private:
  struct Queued {
    RolloutRequest request;
    std::vector<std::shared_ptr<control::EventStream>> events;
  };

  void refuse(const RolloutRequest& request, const std::shared_ptr<control::EventStream>& events,
              control::RolloutResult result, const std::string& text);
  void adapt(RolloutRequest& request) const;
  void begin(Queued next);
  void ended(const Rollout::End& end);
  void reverted(const std::string& why, const Rollout::End& end, bool idle);
  std::map<std::string, Time> windows_of(const std::vector<std::string>& rolled) const;
  void begin_probation(const RolloutRequest& request, const Rollout::End& end);
  void end_probation(const RolloutRequest& next, const std::vector<std::string>& rolled);
  void arm_probation();
  void revert(const std::string& why);
  void revert_group(const std::string& group, const std::string& why);
  void carry_over(const std::vector<std::string>& rolled);
  // Rewrites the record of the release that was on probation, and puts builds that it brought in
  // quarantine.
  void settle_record(std::uint64_t release, std::string result, bool good,
                     std::vector<Quarantine::Entry> bad = {});
  // The builds of a release that the one before it did not have.
  std::vector<Quarantine::Entry> new_builds(std::uint64_t release, const std::string& why) const;
  // Runs `work` on the file thread; then its problem is logged and the view renewed.
  void on_files(std::function<void(Archive&)> work, std::string what);
  std::vector<std::string> used_builds() const;
  void collect_builds();

  RolloutTargets targets_;
  std::shared_ptr<const ArchiveView> view_;
  Hooks hooks_;
  std::shared_ptr<Rollout> running_;
  std::shared_ptr<Rollout> last_;
  std::optional<Queued> queued_;
  std::optional<Probation> probation_;
  std::uint64_t before_number_ = 0;  // the release before the one on probation
  std::optional<std::string> revert_due_;
  bool revert_for_crash_ = false;  // and not for a missing confirm
  std::optional<std::string> stuck_;
  // A group whose own release is still to prove itself though another one, of other groups, has
  // followed.
  struct Carried {
    Time until;
    std::uint64_t before = 0;
  };
  std::map<std::string, Carried> carried_;
  std::string crashed_;          // group for which the revert is due
  std::uint64_t reverting_ = 0;  // the release that the rollout at hand takes back
  boost::asio::steady_timer probation_timer_;
  std::uint64_t count_ = 0;
  std::uint64_t release_ = 0;
  bool folder_changed_ = false;
  bool stopping_ = false;
};

}  // namespace appserver::supervisor

// One rollout from its request to its verdict: carries out what its machine decides.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "control/commands.hpp"
#include "supervisor/archive_keeper.hpp"
#include "supervisor/group.hpp"
#include "supervisor/prepare.hpp"
#include "supervisor/rollout_machine.hpp"

namespace appserver::supervisor {

// What a rollout works on; outlives it.
struct RolloutTargets {
  const SpawnContext& context;
  ArchiveKeeper& archive;
  const config::Config& running;
  std::vector<std::unique_ptr<Group>>& groups;
  std::function<std::unique_ptr<Group>(GroupReleasePtr)> make_group;
};

// Lives on the supervisor's loop. Keep it until `done` was called.
class Rollout final : public std::enable_shared_from_this<Rollout> {
 public:
  struct End {
    control::RolloutResult result = control::RolloutResult::failed;
    std::uint64_t release = 0;        // that is in force because of it; 0: none
    std::vector<std::string> rolled;  // the groups whose workers are new
    // "api: build 7659b4c is quarantined ...": what was asked for and is not done.
    std::vector<std::string> not_done;
    // Of those, what crash-looped when it was too late to fail for it.
    std::vector<std::string> crash_looping;
    std::vector<std::string> as_asked;  // the groups that are now as the configuration has them
    std::string not_recorded;  // why the history does not tell how it ended; empty: it does
    std::string text;          // of the verdict
    bool watch = false;        // the plugin folder's change asked for it
    bool writable = false;     // the state directory was found to be
    bool quarantined = false;  // a build that failed is held back from the watcher, on disk
    // Groups have ended, and others could not be taken in: what they lacked may be free now.
    bool made_room = false;
  };
  using OnDone = std::function<void(const End&)>;
  // What must prove itself once the release is in force in which the groups `rolled` are new.
  using TrialsAfter =
      std::function<std::vector<Trial>(const RolloutRequest& request, std::uint64_t release,
                                       const std::vector<std::string>& rolled)>;
  // What a listener may still hear of what has happened.
  static constexpr std::size_t kMaxHistory = 3'000;

  Rollout(RolloutTargets targets, std::string id, RolloutRequest request, TrialsAfter trials_after,
          OnDone done);

  // A listener gets the events so far, and all from now on. It may be added at any time, also when
  // all is over.
  void listen(std::shared_ptr<control::EventStream> listener);
  void run();
  // Ends it with the result `stopped`; the groups are being stopped by somebody else.
  void stop(const std::string& why);
  // Gives what happens now, for the person; throws control::Conflict where nothing can.
  std::string abort(const std::string& who);
  bool can_abort() const;
  std::string proceed(const std::string& who);
  void group_stopped(const std::string& group);
  // Whether it is this rollout's own: what the group runs came with it.
  bool crash_looping(const std::string& group);

  const std::string& id() const { return id_; }
  const RolloutRequest& request() const { return request_; }
  bool is_over() const { return !done_; }
  control::RolloutStatus status() const;

 private:
  std::chrono::milliseconds elapsed() const;
  void emit(control::RolloutEvent event);
  void log_event(const control::RolloutEvent& event) const;
  void emit_text(control::EventKind kind, const std::string& group, const std::string& text);
  void apply(const RolloutEffects& effects);
  void carry_out(const rollout_effect::Preflight& preflight);
  void carry_out(const rollout_effect::Enter& enter);
  void carry_out(const rollout_effect::Roll& roll);
  void carry_out(const rollout_effect::Revert& revert);
  void carry_out(const rollout_effect::GiveUp& give_up);
  void carry_out(const rollout_effect::End& end);
  void carry_out(const rollout_effect::Commit& commit);
  void carry_out(const rollout_effect::Record& record);
  void carry_out(const rollout_effect::Finish& finish);
  void finish(control::RolloutResult result, const std::string& text);
  void prepared(Prepared prepared);
  void open_groups();
  void check_addresses() const;
  void check_given_ports() const;
  bool is_untouched() const;
  void show_plan();
  std::string describe(const GroupPlan& plan) const;
  SurgePlan surge_for(const GroupPlan& plan) const;
  config::Canary canary_for(const GroupRelease& release) const;
  // Empty, unless a canary that the configuration asks for cannot be.
  std::string why_without_canary(const GroupRelease& release) const;
  std::vector<GroupReleasePtr> asked_for() const;
  std::string why_no_canary() const;
  std::string summary() const;
  std::string why_idle() const;
  Release record(std::string result, bool good) const;
  void settle_record();
  std::vector<std::string> rolled() const;
  bool is_quarantined(const std::string& sha256) const;
  void refuse_build(const std::string& why);
  void remove_group(const std::string& name);
  void sort_groups();
  Group* find(const std::string& name) const;
  const GroupPlan& plan_of(const std::string& name) const;
  Group::OnEvent forward();

  RolloutTargets targets_;
  std::string id_;
  RolloutRequest request_;
  TrialsAfter trials_after_;
  OnDone done_;
  std::vector<std::shared_ptr<control::EventStream>> listeners_;
  std::deque<control::RolloutEvent> history_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  Prepared prepared_;
  std::unique_ptr<RolloutMachine> machine_;  // once it is prepared
  std::vector<GroupReleasePtr> ran_before_;  // of every group, when it began
  std::map<std::string, GroupReleasePtr> before_;
  std::map<std::string, std::unique_ptr<Group>> added_;  // open, not started
  std::shared_ptr<void> preflight_;
  std::string failed_group_;
  bool entered_ = false;                // the history tells of it, or soon will
  bool touched_ = false;                // something that runs, or soon will
  std::uint64_t committed_before_ = 0;  // by this rollout; for the file thread alone
  End end_;
};

}  // namespace appserver::supervisor

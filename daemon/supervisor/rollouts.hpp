// All rollouts of a daemon: one runs, one waits, and the last one is remembered.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/commands.hpp"
#include "supervisor/aftercare.hpp"
#include "supervisor/rollout.hpp"
#include "supervisor/taken_away.hpp"

namespace appserver::supervisor {

class Rollouts final {
 public:
  struct Hooks {
    std::function<void()> begun;
    std::function<void(const Rollout::End&)> ended;  // and no other one begins at once
  };

  // `release` and `trials` as Aftercare has them.
  Rollouts(RolloutTargets targets, std::uint64_t release, const std::vector<Trial>& trials,
           Hooks hooks);
  Rollouts(const Rollouts&) = delete;
  Rollouts& operator=(const Rollouts&) = delete;

  // Begins it, or lets it wait. One like the one that waits joins that; any other one is told to
  // come back.
  void ask(RolloutRequest request, std::shared_ptr<control::EventStream> events);
  // The plugin folder has changed. Never lost: its turn comes when nobody else waits. `taken_away`
  // as DropDirectory::Hooks has it.
  void folder_changed(std::set<std::string> taken_away);
  // Nothing begins any more.
  void stop(const std::string& why);

  bool running() const { return running_ != nullptr; }
  void group_stopped(const std::string& group);
  void crash_looping(const std::string& group);

  // As control::Commands.
  std::string abort(const std::string& who);
  std::string proceed(const std::string& who);
  std::string confirm(const std::string& who) { return aftercare_.confirm(who); }
  void watch(std::shared_ptr<control::EventStream> events);
  std::optional<control::RolloutStatus> status() const;

  // What needs a person; for the status.
  const std::optional<std::string>& stuck() const { return aftercare_.stuck(); }
  // The release that runs; not that on disk, while it waits for a confirm.
  std::uint64_t release() const { return aftercare_.release(); }

 private:
  struct Queued {
    RolloutRequest request;
    std::vector<std::shared_ptr<control::EventStream>> events;
  };

  void refuse(const RolloutRequest& request, const std::shared_ptr<control::EventStream>& events,
              control::RolloutResult result, const std::string& text);
  void begin(Queued next);
  void begin_watched();
  void ended(const Rollout::End& end);
  std::vector<std::string> used_builds() const;
  void collect_builds();

  RolloutTargets targets_;
  Hooks hooks_;
  std::shared_ptr<Rollout> running_;
  std::shared_ptr<Rollout> last_;
  std::optional<Queued> queued_;
  Aftercare aftercare_;
  std::uint64_t count_ = 0;
  bool folder_changed_ = false;
  TakenAway taken_away_;
  bool stopping_ = false;
};

}  // namespace appserver::supervisor

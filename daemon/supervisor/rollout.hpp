// One reload from its request to its verdict: prepare, preflight all, then group after group; on a
// failure, everything back.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "control/commands.hpp"
#include "plugin/store.hpp"
#include "supervisor/group.hpp"
#include "supervisor/prepare.hpp"

namespace appserver::supervisor {

struct RolloutRequest {
  std::vector<std::string> groups;  // empty: all
  bool force = false;               // also those with reloadable: false, where they are named
  std::string who;                  // for the log

  friend bool operator==(const RolloutRequest&, const RolloutRequest&) = default;
};

// What a rollout works on; outlives it.
struct RolloutTargets {
  const SpawnContext& context;
  boost::asio::thread_pool& files;  // one thread: what reads and writes files
  plugin::Store& store;
  const config::Config& running;
  std::vector<std::unique_ptr<Group>>& groups;
};

// Lives on the supervisor's loop. Keep it until `done` was called.
class Rollout final : public std::enable_shared_from_this<Rollout> {
 public:
  using OnDone = std::function<void(control::RolloutResult)>;

  Rollout(RolloutTargets targets, std::string id, std::uint64_t release, RolloutRequest request,
          OnDone done);

  // A listener gets all events from now on. It may be added at any time.
  void listen(std::shared_ptr<control::EventStream> listener);
  void run();
  // Ends it with the result `stopped`; the groups are being stopped by somebody else.
  void stop(const std::string& why);
  const RolloutRequest& request() const { return request_; }

 private:
  void emit(control::RolloutEvent event);
  void emit_text(control::EventKind kind, const std::string& group, const std::string& text);
  void finish(control::RolloutResult result, const std::string& text);
  std::string select();
  void prepared(Prepared prepared);
  void preflight_next();
  void roll_next();
  void finish_rolled();
  void rolled(Outcome outcome, const std::string& why);
  void revert_next();
  void report_kept();
  Group* find(const std::string& name) const;
  Group::OnEvent forward();

  RolloutTargets targets_;
  std::string id_;
  std::uint64_t release_;
  RolloutRequest request_;
  OnDone done_;
  std::vector<std::shared_ptr<control::EventStream>> listeners_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::vector<std::string> selected_;
  std::vector<std::string> kept_;
  std::map<std::string, ReleasePtr> before_;
  Prepared prepared_;
  std::shared_ptr<void> preflight_;
  std::size_t position_ = 0;
  std::uint64_t cut_ = 0;
  bool stuck_ = false;
  std::string reason_;
};

}  // namespace appserver::supervisor

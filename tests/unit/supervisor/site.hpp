// A folder with a configuration, plugins and an archive, and what a daemon there would run; for the
// tests of what decides about releases.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/load.hpp"
#include "os/fd.hpp"
#include "plugin/sha256.hpp"
#include "record_files.hpp"
#include "supervisor/first_release.hpp"
#include "supervisor/prepare.hpp"
#include "supervisor/rollout_files.hpp"

namespace appserver::supervisor::test {

// Good plugins of different content.
inline constexpr const char* kOne = "answers";
inline constexpr const char* kTwo = "unstable";
inline constexpr const char* kThree = "says_when_it_loops";
inline constexpr const char* kFour = "crashes_on_request";

inline constexpr const char* kApi =
    "  api: {plugin: api.so, listen: 'http://127.0.0.1:18080', count: 2}\n";
inline constexpr const char* kJobs = "  jobs: {plugin: jobs.so}\n";
inline constexpr const char* kPinned = "  pinned: {plugin: jobs.so, reloadable: false}\n";
inline constexpr const char* kUntilPinned = "  pinned: {plugin: jobs.so}\n";

inline std::string sha_of(const std::string& fixture) {
  const std::filesystem::path file = std::filesystem::path(APPSERVER_FIXTURES) / (fixture + ".so");
  return plugin::sha256(os::open_file(file, O_RDONLY).get());
}

inline std::string short_sha(const std::string& fixture) { return sha_of(fixture).substr(0, 7); }

inline GroupPlan plan_of(const Prepared& prepared, const std::string& group) {
  const auto found = std::ranges::find(prepared.plan, group, &GroupPlan::name);
  INFO(group << " in the plan; refusal: " << prepared.refusal);
  REQUIRE(found != prepared.plan.end());
  return *found;
}

inline Change change_of(const Prepared& prepared, const std::string& group) {
  return plan_of(prepared, group).change;
}

inline RolloutRequest reload(std::vector<std::string> groups = {}) {
  RolloutRequest request;
  request.groups = std::move(groups);
  return request;
}

inline RolloutRequest reload_changed() {
  RolloutRequest request;
  request.changed = true;
  return request;
}

inline RolloutRequest watched(std::set<std::string> taken_away = {}) {
  RolloutRequest request = reload_changed();
  request.watch = true;
  request.taken_away = std::move(taken_away);
  return request;
}

inline RolloutRequest forced(const std::string& group) {
  RolloutRequest request = reload({group});
  request.force = true;
  return request;
}

inline RolloutRequest rollback(std::optional<std::uint64_t> to = {},
                               std::vector<std::string> groups = {}) {
  RolloutRequest request;
  request.kind = RolloutRequest::Kind::rollback;
  request.to = to;
  request.groups = std::move(groups);
  return request;
}

inline RolloutRequest scale(const std::string& group, std::uint32_t count) {
  RolloutRequest request;
  request.kind = RolloutRequest::Kind::scale;
  request.groups = {group};
  request.count = count;
  return request;
}

class Site {
 public:
  // api.so and jobs.so are both kOne.
  explicit Site(const std::vector<std::string>& groups = {kApi, kJobs}) {
    put("api.so", kOne);
    put("jobs.so", kOne);
    write_groups(groups);
    open();
  }

  void put(const std::string& name, const std::string& fixture) const {
    std::filesystem::copy_file(std::filesystem::path(APPSERVER_FIXTURES) / (fixture + ".so"),
                               folder_ / name, std::filesystem::copy_options::overwrite_existing);
  }
  void write_file(const std::string& text) const { write(file(), text); }
  // NAME.so and NAME.yaml in `plugins`, which is watched where write_watching() was called.
  void drop(const std::string& name, const std::string& fixture, const std::string& text) const {
    std::filesystem::create_directories(folder_ / "plugins");
    allow_others_to_write(false);
    put("plugins/" + name + ".so", fixture);
    write(folder_ / ("plugins/" + name + ".yaml"), text);
  }
  // Whether others may write to `plugins`.
  void allow_others_to_write(bool they_may) const {
    os::check(::chmod((folder_ / "plugins").c_str(), they_may ? 0777 : 0755), "chmod(plugins)");
  }
  void write_watching(const std::string& groups) const {
    write_file("daemon: {plugins: {watch: true}}\ngroups:\n" + groups);
  }
  void write_groups(const std::vector<std::string>& groups) const {
    std::string text = "groups:\n";
    for (const std::string& group : groups) text += group;
    write_file(text);
  }
  // Damages or removes every stored copy of it.
  void lose(const std::string& fixture) const {
    std::filesystem::remove_all(folder_ / "state/store" / sha_of(fixture));
  }

  // As a daemon does when it starts, and again each time.
  FirstRelease start() {
    open();
    return start_with(config::load_file(file(), config::process_environment(),
                                        config::DroppedMistakes::are_left_out));
  }
  FirstRelease start_with(const config::Config& config) {
    running_ = config;
    FirstRelease first = choose_first_release(config, *archive_);
    current_ = first.groups;
    return first;
  }

  Prepared prepare(RolloutRequest request) {
    return supervisor::prepare({std::move(request), running_, current_}, *archive_);
  }

  // As a rollout does that goes well, or, `good` being false, one that was taken back since.
  std::uint64_t roll(const RolloutRequest& request, bool good = true) {
    const Prepared prepared = enter(request);
    if (good) {
      commit(request, prepared, record_of(prepared, "committed"));
    } else {
      record_failure(*archive_, record_of(prepared, "rolled back: it failed"), prepared.asked_for,
                     {}, 0);
    }
    return prepared.release;
  }
  void roll_unconfirmed(const RolloutRequest& request) {
    const Prepared prepared = enter(request);
    commit(request, prepared, record_of(prepared, std::string(kWaitsForConfirm)));
  }
  // Another content of a group's plugin, reloaded.
  std::uint64_t roll_build(const std::string& group, const std::string& fixture) {
    put(group + ".so", fixture);
    return roll(reload_changed());
  }

  // Null where it does not run.
  GroupReleasePtr find(const std::string& group) const {
    const auto found = std::ranges::find_if(
        current_, [&](const GroupReleasePtr& each) { return each->config.name == group; });
    return found == current_.end() ? nullptr : *found;
  }
  std::string running_sha(const std::string& group) const { return find(group)->build.sha256; }

  std::filesystem::path file() const { return folder_ / "app.yaml"; }
  const Folder& folder() const { return folder_; }
  Archive& archive() { return *archive_; }
  config::Config& running() { return running_; }

  // Reads the archive anew.
  void open() {
    archive_.reset();
    archive_ = std::make_unique<Archive>(folder_ / "state");
  }

 private:
  Prepared enter(const RolloutRequest& request) {
    Prepared prepared = this->prepare(request);
    INFO(prepared.refusal);
    REQUIRE(prepared.refusal.empty());
    enter_release(*archive_, record_of(prepared, std::string(kRunning)));
    return prepared;
  }
  Release record_of(const Prepared& prepared, const std::string& result) const {
    Release release;
    release.number = prepared.release;
    release.origin = prepared.origin;
    release.what = prepared.what;
    release.result = result;
    release.good = result == "committed";
    for (const GroupPlan& plan : prepared.plan) {
      if (plan.change == Change::remove) continue;
      const GroupReleasePtr group = plan.target ? plan.target : find(plan.name);
      if (group) release.groups.push_back(group);
    }
    return release;
  }
  void commit(const RolloutRequest& request, const Prepared& prepared, const Release& release) {
    const Commitment commitment{release, !release.good, prepared.asked_for,
                                proven_builds(prepared.plan),
                                builds_left_behind(request, prepared.plan, current_)};
    std::uint64_t before = 0;
    commit_release(*archive_, commitment, std::atomic<bool>{false}, before);
    current_ = release.groups;
  }
  Folder folder_;
  std::unique_ptr<Archive> archive_;
  config::Config running_;
  std::vector<GroupReleasePtr> current_;
};

}  // namespace appserver::supervisor::test

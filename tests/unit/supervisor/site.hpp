// A folder with a configuration, plugins and an archive, and what a daemon there would run; for the
// tests of what decides about releases.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/load.hpp"
#include "os/fd.hpp"
#include "plugin/sha256.hpp"
#include "record_files.hpp"
#include "supervisor/first_release.hpp"
#include "supervisor/prepare.hpp"

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

inline RolloutRequest watched() {
  RolloutRequest request = reload_changed();
  request.watch = true;
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
    running_ = config::load_file(file());
    return start_with(running_);
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
  std::uint64_t roll(RolloutRequest request, bool good = true) {
    Release release = carry_out(prepare(std::move(request)));
    release.good = good;
    release.result = good ? "committed" : "rolled back: it failed";
    archive_->releases.write(release);
    if (good) current_ = release.groups;
    archive_->releases.commit(
        good ? release.number : archive_->releases.committed()->release.number, asked_for_);
    return release.number;
  }
  void roll_unconfirmed(RolloutRequest request) {
    Release release = carry_out(prepare(std::move(request)));
    release.result = "waits for a confirm";
    archive_->releases.write(release);
    archive_->releases.commit(archive_->releases.committed()->release.number, asked_for_);
    current_ = release.groups;
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

 private:
  Release carry_out(const Prepared& prepared) {
    INFO(prepared.refusal);
    REQUIRE(prepared.refusal.empty());
    asked_for_ = prepared.asked_for;
    Release release;
    release.number = prepared.release;
    release.origin = prepared.origin;
    release.what = prepared.what;
    for (const GroupPlan& plan : prepared.plan) {
      if (plan.change == Change::remove) continue;
      const GroupReleasePtr group = plan.target ? plan.target : find(plan.name);
      if (group) release.groups.push_back(group);
    }
    return release;
  }
  void open() {
    archive_.reset();
    archive_ = std::make_unique<Archive>(folder_ / "state");
  }

  Folder folder_;
  std::unique_ptr<Archive> archive_;
  config::Config running_;
  std::vector<GroupReleasePtr> current_;
  std::string asked_for_;
};

}  // namespace appserver::supervisor::test

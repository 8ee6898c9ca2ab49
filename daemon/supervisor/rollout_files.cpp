#include "supervisor/rollout_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <stdexcept>

namespace appserver::supervisor {

void enter_release(Archive& archive, const Release& running) {
  std::vector<Release> open;
  std::ranges::copy_if(archive.releases.all(), std::back_inserter(open),
                       [](const Release& release) { return release.result == kRunning; });
  for (Release& release : open) {
    release.result = "not committed: its end could not be recorded";
    archive.releases.write(release);
  }
  archive.releases.write(running);
}

void withdraw_release(Archive& archive, std::uint64_t number) {
  const Release* const found = archive.releases.find(number);
  if (found != nullptr && found->result == kRunning) archive.releases.remove(number);
}

std::vector<std::string> proven_builds(const std::vector<GroupPlan>& plan) {
  std::vector<std::string> result;
  for (const GroupPlan& each : plan) {
    const bool is_new = each.change == Change::add || each.change == Change::roll;
    if (is_new) result.push_back(each.target->build.sha256);
  }
  return result;
}

std::vector<Quarantine::Entry> builds_left_behind(const RolloutRequest& request,
                                                  const std::vector<GroupPlan>& plan,
                                                  const std::vector<GroupReleasePtr>& before) {
  std::vector<Quarantine::Entry> result;
  if (request.kind != RolloutRequest::Kind::rollback) return result;
  for (const GroupReleasePtr& ran : before) {
    const auto found = std::ranges::find(plan, ran->config.name, &GroupPlan::name);
    if (found == plan.end() || found->change == Change::keep) continue;
    if (found->target && found->target->build.sha256 == ran->build.sha256) continue;
    result.push_back(
        {ran->build.sha256, "rolled back by " + request.who, std::chrono::system_clock::now()});
  }
  return result;
}

void commit_release(Archive& archive, const Commitment& commitment,
                    const std::atomic<bool>& given_up, std::uint64_t& before) {
  if (given_up) return;
  const Release& release = commitment.release;
  // What has come through every gate is not held back any more.
  for (const std::string& build : commitment.proven) archive.quarantine.release(build);
  for (const Quarantine::Entry& entry : commitment.left_behind) archive.quarantine.add(entry);
  archive.releases.write(release);
  const auto committed = archive.releases.committed();
  if (committed) before = committed->release.number;
  if (given_up) return;
  const bool stays = commitment.unconfirmed && committed;
  archive.releases.commit(stays ? before : release.number, commitment.asked_for);
}

void record_failure(Archive& archive, const Release& release, const std::string& asked_for,
                    const std::vector<Quarantine::Entry>& bad, std::uint64_t before) {
  std::string problems;
  const auto attempt = [&](const auto& work, const std::string& what_comes_of_it) {
    try {
      work();
    } catch (const std::exception& error) {
      problems +=
          fmt::format("{}{} ({})", problems.empty() ? "" : "; ", what_comes_of_it, error.what());
    }
  };
  if (const auto committed = archive.releases.committed()) {
    const bool too_late = committed->release.number == release.number && before != 0;
    // A restart of the daemon does not try this configuration again.
    attempt(
        [&] { archive.releases.commit(too_late ? before : committed->release.number, asked_for); },
        too_late ? fmt::format("a restart runs release {} all the same", release.number)
                 : std::string("a restart tries this configuration again"));
  }
  for (const Quarantine::Entry& entry : bad) {
    attempt([&] { archive.quarantine.add(entry); },
            fmt::format("build {} is not in quarantine: the next change in a plugin folder that "
                        "is watched brings it in again",
                        entry.sha256.substr(0, 7)));
  }
  attempt([&] { archive.releases.write(release); },
          "the history does not tell how it ended, and without that the next reload is refused");
  if (!problems.empty()) throw std::runtime_error(problems);
}

void settle_running(Archive& archive, std::uint64_t number, const std::string& result,
                    std::chrono::milliseconds took) {
  const Release* const found = archive.releases.find(number);
  if (found == nullptr || found->result != kRunning) return;
  Release release = *found;
  release.result = result;
  release.took = took;
  archive.releases.write(release);
}

}  // namespace appserver::supervisor

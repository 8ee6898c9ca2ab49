// What a rollout writes of its release, step by step: for the file thread. What writes throws where
// it cannot.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "supervisor/archive.hpp"
#include "supervisor/prepare.hpp"

namespace appserver::supervisor {

// Before anything is touched. What other rollouts could not write an end of gets one: only one
// runs.
void enter_release(Archive& archive, const Release& running);

// What was entered and then touched nothing leaves no line.
void withdraw_release(Archive& archive, std::uint64_t number);

struct Commitment {
  Release release;
  bool unconfirmed =
      false;              // a restart goes back to the release before, until somebody confirms it
  std::string asked_for;  // fingerprint of the configuration
  std::vector<std::string> proven;             // SHA-256 of the builds that came through every gate
  std::vector<Quarantine::Entry> left_behind;  // see builds_left_behind()
};

// Those of the groups whose workers are new.
std::vector<std::string> proven_builds(const std::vector<GroupPlan>& plan);

// What a person (or the daemon) has rolled back lies in the plugin folder still; the watcher must
// not bring it in again. `before`: what ran of every group when the rollout began.
std::vector<Quarantine::Entry> builds_left_behind(const RolloutRequest& request,
                                                  const std::vector<GroupPlan>& plan,
                                                  const std::vector<GroupReleasePtr>& before);

// Nothing is committed that was given up meanwhile. `before`: the release that was committed until
// then, where there is one.
void commit_release(Archive& archive, const Commitment& commitment,
                    const std::atomic<bool>& given_up, std::uint64_t& before);

// It came to nothing; `bad` goes into quarantine. Where it was committed all the same, for that was
// given up too late, `before` is committed again. Tries each of that before it throws, and then
// says what comes of each that could not be written.
void record_failure(Archive& archive, const Release& release, const std::string& asked_for,
                    const std::vector<Quarantine::Entry>& bad, std::uint64_t before);

// Ends the record of a release that is written as running; any other one stays as it is.
void settle_running(Archive& archive, std::uint64_t number, const std::string& result,
                    std::chrono::milliseconds took);

}  // namespace appserver::supervisor

// A world without processes that carries out what a GroupMachine asks for, with workers that start,
// hang, fail and crash by chance, and that notes every broken promise of the machine.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "supervisor/group_machine.hpp"

namespace appserver::supervisor {

class FakeWorld final {
 public:
  FakeWorld(GroupPolicy policy, std::uint64_t seed);

  void start();
  // Each does nothing where the machine must not be asked for it now.
  void roll();
  void crash_one();
  void stop(bool fast);

  // Runs everything that is due within `time`.
  void pass(milliseconds time);
  // From here on workers start, answer probes, drain and end as they should.
  void make_healthy() { healthy_ = true; }

  // The first promise that was broken; empty: none.
  const std::string& broken() const { return broken_; }
  bool all_serve() const;
  bool ended() const { return stopped_ && workers_.empty(); }
  const GroupMachine& machine() const { return machine_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t rolls_ended(Outcome outcome) const {
    return ended_.at(static_cast<std::size_t>(outcome));
  }
  std::uint32_t random(std::uint32_t below) {
    return static_cast<std::uint32_t>(random_() % below);
  }

 private:
  enum class Will { nothing, become_ready, pass_probe, fail_probe, end, crash };
  struct Worker {
    std::uint32_t slot = 0;
    ReleaseId release = 0;
    bool serves = false;
    bool draining = false;
    bool killed = false;
    Will will = Will::nothing;
    Time due{};
  };
  struct Roll {
    ReleaseId target = 0;
    ReleaseId before = 0;
    Time latest{};
  };

  void carry_out(const effect::Spawn& spawn);
  void carry_out(const effect::Probe& probe);
  void carry_out(const effect::Serve& serve);
  void carry_out(const effect::Drain& drain);
  void carry_out(const effect::Signal& signal);
  void carry_out(const effect::Lend& lend);
  void carry_out(const effect::Reclaim& reclaim);
  void carry_out(const effect::Restarting& restarting);
  void carry_out(const effect::Progress&) {}
  void carry_out(const effect::RollDone& done);
  void carry_out(const effect::Stopped&);
  void apply(const Effects& effects);

  void act(WorkerId id);
  void end(WorkerId id, const std::string& why);
  void plan(WorkerId id, Will will, milliseconds at_most);
  void expect(bool kept, const std::string& promise);
  void check_state();
  bool chance(std::uint32_t percent) { return !healthy_ && random(100) < percent; }
  bool is_serving(WorkerId id) const;
  milliseconds slot_time() const;

  GroupPolicy policy_;
  std::mt19937_64 random_;
  GroupMachine machine_;
  Time now_{std::chrono::hours(1)};
  std::map<WorkerId, Worker> workers_;
  std::map<WorkerId, int> served_;
  std::map<std::uint32_t, WorkerId> lent_;
  std::optional<Roll> roll_;
  std::optional<Time> stop_latest_;
  std::array<std::uint64_t, 4> ended_{};
  ReleaseId last_release_ = 1;
  ReleaseId in_force_ = 1;
  bool healthy_ = false;
  bool stopped_ = false;
  std::uint64_t steps_ = 0;
  std::string broken_;
};

}  // namespace appserver::supervisor

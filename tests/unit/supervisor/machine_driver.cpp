#include "machine_driver.hpp"

#include <fmt/format.h>

#include <array>

namespace appserver::supervisor {
namespace {

struct Printer {
  std::string operator()(const effect::Spawn& e) const {
    const std::string text = fmt::format("spawn w{} s{} r{}", e.worker, e.slot, e.release);
    return e.predecessor == 0 ? text : text + fmt::format(" after w{}", e.predecessor);
  }
  std::string operator()(const effect::LeaveState& e) const {
    return fmt::format("leave state w{}", e.worker);
  }
  std::string operator()(const effect::Probe& e) const {
    return fmt::format("probe w{}", e.worker);
  }
  std::string operator()(const effect::Serve& e) const {
    return fmt::format("serve w{}", e.worker);
  }
  std::string operator()(const effect::Drain& e) const {
    return fmt::format("drain w{} to w{} {}ms", e.worker, e.successor, e.timeout.count());
  }
  std::string operator()(const effect::Signal& e) const {
    return fmt::format("signal {} w{}: {}", e.signal, e.worker, e.why);
  }
  std::string operator()(const effect::Lend& e) const {
    return fmt::format("lend s{} to w{}", e.slot, e.to);
  }
  std::string operator()(const effect::Reclaim& e) const {
    return fmt::format("reclaim s{} from w{}", e.slot, e.from);
  }
  std::string operator()(const effect::Restarting& e) const {
    return fmt::format("restart s{} in {}ms{}", e.slot, e.delay.count(),
                       e.crash_loop ? ", crash-loop" : "");
  }
  std::string operator()(const effect::Progress& e) const {
    static constexpr std::array<const char*, 7> kSteps{"starting", "ready",  "draining", "replaced",
                                                       "removed",  "failed", "reverting"};
    std::string text =
        fmt::format("{} s{} w{}", kSteps.at(static_cast<std::size_t>(e.step)), e.slot, e.worker);
    if (!e.text.empty()) text += ": " + e.text;
    if (e.cut != 0) text += fmt::format(", cut {}", e.cut);
    return text;
  }
  std::string operator()(const effect::CanaryHold&) const { return "canary held"; }
  std::string operator()(const effect::CanaryDue&) const { return "canary due"; }
  std::string operator()(const effect::Retire& e) const {
    return fmt::format("retire all but {}", e.slots);
  }
  std::string operator()(const effect::Close& e) const {
    return fmt::format("close all but {}", e.slots);
  }
  std::string operator()(const effect::Recycled& e) const {
    std::string text = e.replaced ? fmt::format("recycled s{}", e.slot)
                                  : fmt::format("kept s{}: {}", e.slot, e.text);
    if (e.cut != 0) text += fmt::format(", cut {}", e.cut);
    return text;
  }
  std::string operator()(const effect::RollDone& e) const {
    static constexpr std::array<const char*, 4> kOutcomes{"done", "rolled_back", "partial",
                                                          "stopped"};
    const char* outcome = kOutcomes.at(static_cast<std::size_t>(e.outcome));
    return e.text.empty() ? fmt::format("roll {}", outcome)
                          : fmt::format("roll {}: {}", outcome, e.text);
  }
  std::string operator()(const effect::Stopped&) const { return "stopped"; }
};

}  // namespace

std::string to_text(const Effect& effect) { return std::visit(Printer{}, effect); }

GroupPolicy group_of(std::uint32_t count, std::uint32_t surge) {
  GroupPolicy policy;
  policy.count = count;
  policy.surge = surge;
  policy.start_timeout = std::chrono::seconds(10);
  policy.drain_timeout = std::chrono::seconds(20);
  return policy;
}

std::vector<ReleaseId> releases(const Driver& group) {
  std::vector<ReleaseId> result;
  for (const auto& slot : group.machine.slots()) result.push_back(slot.release);
  return result;
}

void Driver::start_all() {
  machine.start(1, now);
  const auto count = machine.slots().size();
  for (WorkerId worker = 1; worker <= count; ++worker) machine.worker_ready(worker, now);
}

void Driver::replace(WorkerId successor, WorkerId old) {
  ready(successor);
  gone(old, "exit 0");
}

milliseconds Driver::wait() const {
  const auto next = machine.next_deadline();
  return next ? std::chrono::duration_cast<milliseconds>(*next - now) : milliseconds(-1);
}

Lines Driver::lines(const Effects& effects) {
  Lines result;
  for (const Effect& effect : effects) result.push_back(to_text(effect));
  return result;
}

}  // namespace appserver::supervisor

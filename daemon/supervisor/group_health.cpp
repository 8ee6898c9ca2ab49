#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <utility>
#include <vector>

#include "os/memory.hpp"
#include "os/procfs.hpp"
#include "supervisor/clock.hpp"
#include "supervisor/group.hpp"

// The part of a group that looks after workers which are alive.
namespace appserver::supervisor {

namespace {

using telemetry::Level;

// A loop that turned within this time turns.
constexpr milliseconds kMoving{1'000};
// After a replacement that failed: the reason is rarely gone at once.
constexpr milliseconds kRecyclePause{30'000};

}  // namespace

void Group::arm_health_check() {
  // Also at the start: one that stands still before its first look must know of it at that.
  own_stall_.look(now());
  health_timer_.expires_after(kHealthInterval);
  health_timer_.async_wait([alive = alive_](const boost::system::error_code& error) {
    if (error || *alive == nullptr) return;
    (*alive)->arm_health_check();
    (*alive)->check_health();
  });
}

void Group::check_health() {
  std::vector<WorkerId> open;
  for (const auto& [id, view] : machine_.workers()) {
    if (view.gate == Gate::open && !view.killed) open.push_back(id);
  }
  std::optional<SurgeInput> memory;
  for (const WorkerId id : open) {
    const WorkerView* view = machine_.find(id);
    const WorkerProcess* process = find(id);
    if (view == nullptr || process == nullptr) continue;
    check_heartbeat(id, *view, *process);
    recycle_if_due(id, *process, memory);
  }
}

void Group::check_heartbeat(WorkerId id, const WorkerView& view, const WorkerProcess& process) {
  const milliseconds limit = config_of(view.release).hang_timeout;
  if (limit.count() == 0 || view.aborted) return;
  const milliseconds age = process.heartbeat_age();
  if (view.stalled && age < kMoving) {
    log(Level::warning, view.slot, process.pid(), "its event loop turns again");
    apply(machine_.worker_moves(id, now()));
    return;
  }
  if (age < limit || !own_stall_.is_over(now(), limit)) return;
  // One that was stopped (SIGSTOP, a debugger) is somebody's wish, not a fault of its code.
  const bool stopped = os::is_stopped(process.pid());
  // One that was continued just now is given the time for a turn.
  if (std::exchange(processes_.at(id).was_stopped, stopped) && !stopped) return;
  if (view.stalled && stopped) return;
  log(stopped ? Level::warning : Level::error, view.slot, process.pid(),
      stopped ? "stopped by a signal or a debugger: another slot accepts in its place meanwhile"
              : fmt::format("its event loop has not turned for {} s (hang_timeout): ended{}",
                            std::chrono::duration_cast<std::chrono::seconds>(age).count(),
                            where_it_is(process.page())));
  apply(machine_.worker_stalled(id, !stopped, now()));
}

SurgeInput Group::look_at_memory() const {
  SurgeInput input;
  input.worker_bytes = largest_worker();
  input.available = os::available_memory().value_or(kUnknownMemory);
  input.reserve = committed_->config.reload.reserve_memory.value;
  return input;
}

// `memory` is looked at once in a round, where anybody is due.
void Group::recycle_if_due(WorkerId id, const WorkerProcess& process,
                           std::optional<SurgeInput>& memory) {
  if (!machine_.can_recycle(id)) return;
  if (no_recycling_before_ && now() < *no_recycling_before_) return;
  Vitals vitals;
  vitals.requests = process.page().requests.get();
  vitals.uptime = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() -
                                                           process.started());
  const config::Recycle& limits = committed_->config.recycle;
  if (limits.max_memory.value > 0) vitals.resident_bytes = os::resident_bytes(process.pid());
  const auto why = why_recycle(limits, vitals);
  if (!why) return;
  if (!memory) memory = look_at_memory();
  const bool too_large = is_too_large(limits, vitals);
  const RecyclePlan plan = plan_recycling(*memory, too_large, machine_.ready_count() > 1);
  const std::uint32_t slot = machine_.find(id)->slot;
  switch (plan.way) {
    case RecycleWay::start_first:
      log(Level::info, slot, process.pid(), "recycling: " + *why);
      break;
    case RecycleWay::stop_first:
      log(Level::warning, slot, process.pid(),
          fmt::format("recycling: {}; {}, so that this one stops first", *why, plan.text));
      break;
    case RecycleWay::wait:
      if (std::exchange(processes_.at(id).waits_for_memory, true)) return;
      log(Level::warning, slot, process.pid(),
          fmt::format("recycling waits for memory: {}; {}{}", *why, plan.text,
                      too_large ? ", and no other worker could serve meanwhile" : ""));
      return;
  }
  apply(machine_.recycle(id, plan.way == RecycleWay::stop_first, now()));
}

std::string Group::recycle(std::uint32_t slot, OnEvent on_event, OnRecycled done) {
  if (slot >= machine_.slots().size())
    return fmt::format("{} has slots 0 to {}", name(), machine_.slots().size() - 1);
  const WorkerId worker = machine_.slots()[slot].current;
  if (machine_.rolling()) return fmt::format("{} is being rolled", name());
  const WorkerView* view = machine_.find(worker);
  if (view == nullptr || view->gate != Gate::open)
    return fmt::format("{}/{} has no ready worker to drain", name(), slot);
  if (!machine_.can_recycle(worker))
    return fmt::format("another worker of {} is being replaced, or {}/{} hangs; try again", name(),
                       name(), slot);
  on_event_ = std::move(on_event);
  on_recycled_ = std::move(done);
  apply(machine_.recycle(worker, false, now()));
  return {};
}

void Group::carry_out(const effect::Recycled& recycled) {
  const auto died = take_death(recycled.slot);
  tell_cut(recycled.slot, recycled.cut, died ? died->pid : 0);
  if (recycled.replaced) {
    ++recycled_;
  } else if (!machine_.rolling()) {
    no_recycling_before_ = now() + kRecyclePause;
    const bool stays = machine_.slots()[recycled.slot].current != 0;
    log(Level::warning, recycled.slot, 0,
        fmt::format("{}: {}",
                    stays ? "not replaced, the old worker stays" : "the fresh worker failed",
                    recycled.text));
  }
  if (!on_recycled_) return;
  // A rollout that has begun meanwhile has its own.
  if (!machine_.rolling()) on_event_ = nullptr;
  boost::asio::post(context_.io, [done = std::exchange(on_recycled_, nullptr), recycled,
                                  why_cut = died ? describe(recycled.slot, *died) : std::string()] {
    done(recycled.replaced, recycled.replaced ? why_cut : recycled.text, recycled.cut);
  });
}

std::uint64_t Group::largest_worker() const {
  std::uint64_t largest = 0;
  for (const auto& [id, process] : processes_) {
    if (process.process) largest = std::max(largest, os::resident_bytes(process.process->pid()));
  }
  return largest;
}

}  // namespace appserver::supervisor

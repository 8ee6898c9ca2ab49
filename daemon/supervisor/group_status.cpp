#include <algorithm>
#include <chrono>
#include <cmath>

#include "os/procfs.hpp"
#include "supervisor/group.hpp"
#include "supervisor/tls_notes.hpp"

namespace appserver::supervisor {
namespace {

std::map<std::string, double> read_metrics(const telemetry::WorkerPage& page) {
  std::map<std::string, double> result;
  for (const telemetry::Metric& metric : page.metrics) {
    if (metric.kind.load(std::memory_order_acquire) == telemetry::MetricKind::unused) break;
    const double value = metric.value.load(std::memory_order_relaxed);
    // The worker may have written anything here.
    const std::string name(metric.name_view());
    const bool clean =
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
    if (clean && std::isfinite(value)) result.emplace(name, value);
  }
  return result;
}

control::GatewayStatus read_gateway(const telemetry::GatewayCounters& counters) {
  return {.clients = counters.clients.get(),
          .workers = counters.workers.get(),
          .waiting = counters.parked_events.get(),
          .waiting_bytes = counters.parked_bytes.get(),
          .lost = counters.lost.get(),
          .cut = counters.cut.get()};
}

}  // namespace

std::optional<std::string> Group::state_lost(std::uint32_t slot) const {
  const auto lost = lost_state_.find(slot);
  return lost == lost_state_.end() ? std::nullopt : std::optional(lost->second.why);
}

control::WorkerStatus Group::worker_status(WorkerId worker, const WorkerView& view) const {
  control::WorkerStatus status;
  const SlotView& slot = machine_.slots()[view.slot];
  status.slot = view.slot;
  status.state = view.draining || view.role == Role::retiring ? control::WorkerState::draining
                 : view.stalled                               ? control::WorkerState::hung
                 : view.gate == Gate::open                    ? control::WorkerState::ready
                                                              : control::WorkerState::starting;
  status.restarts = slot.restarts;
  status.last_exit = last_exits_[view.slot];
  status.state_lost = worker == slot.current ? state_lost(view.slot) : std::nullopt;
  const auto found = processes_.find(worker);
  if (found == processes_.end() || !found->second.process) return status;
  const WorkerProcess& process = *found->second.process;
  const telemetry::WorkerPage& page = process.page();
  status.pid = process.pid();
  status.generation = found->second.generation;
  status.build = process.build().substr(0, 12);
  status.uptime = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::steady_clock::now() - process.started());
  status.requests = page.requests.get();
  status.in_flight = page.in_flight.get();
  status.connections = page.connections.get();
  status.rss_bytes = os::resident_bytes(process.pid());
  status.tls_handshakes = page.tls_handshakes.get();
  status.tls_failed = page.tls_failed.get();
  status.datagrams_received = page.datagrams_received.get();
  status.datagrams_sent = page.datagrams_sent.get();
  status.datagrams_dropped = page.datagrams_unsent.get() + page.datagrams_lost.get();
  if (process.kind() == config::GroupKind::gateway) status.gateway = read_gateway(page.gateway);
  if (process.kind() == config::GroupKind::business) {
    status.links =
        control::LinkStatus{.linked = page.links.linked.get(), .known = page.links.known.get()};
  }
  status.metrics = read_metrics(page);
  return status;
}

control::WorkerStatus Group::absent_status(std::uint32_t index) const {
  const SlotView& slot = machine_.slots()[index];
  const auto now = std::chrono::steady_clock::now();
  control::WorkerStatus status;
  status.slot = index;
  status.state = slot.policy.in_crash_loop(now) ? control::WorkerState::crash_loop
                                                : control::WorkerState::backoff;
  status.restarts = slot.restarts;
  status.last_exit = last_exits_[index];
  status.state_lost = state_lost(index);
  if (slot.next_try) {
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(*slot.next_try - now);
    status.next_try = std::max(wait, std::chrono::milliseconds(0));
  }
  if (const WorkerView* helper = machine_.find(slot.lent_to)) status.lends_to = helper->slot;
  return status;
}

control::GroupState Group::state() const {
  if (machine_.stopping()) return control::GroupState::stopping;
  const auto now = std::chrono::steady_clock::now();
  for (std::uint32_t index = 0; index < machine_.slots().size(); ++index) {
    if (!machine_.is_doomed(index) && machine_.slots()[index].policy.in_crash_loop(now))
      return control::GroupState::crash_loop;
  }
  const TlsMaterialPtr tls = tls_of(*committed_);
  const bool serves_all = !tls || !is_degraded(*tls, tls_now());
  if (machine_.all_ready() && serves_all) return control::GroupState::ok;
  return start_is_over() ? control::GroupState::degraded : control::GroupState::starting;
}

control::GroupStatus Group::status() const {
  const config::Group& config = committed_->config;
  const plugin::Build& build = committed_->build;
  control::GroupStatus status;
  status.name = config.name;
  status.reloadable = config.reloadable;
  status.listen = listeners_.addresses();
  status.plugin = config.plugin.native();
  status.count = config.count;
  status.ready = machine_.ready_count();
  status.build =
      control::BuildStatus{build.sha256, build.build_id, build.name, build.version, build.abi};
  status.release = committed_->number;
  status.recycled = recycled_;
  status.state = state();
  if (const TlsMaterialPtr tls = tls_of(*committed_)) status.tls = status_of(*tls, tls_now());
  status.reloading = machine_.rolling();
  for (std::uint32_t index = 0; index < machine_.slots().size(); ++index) {
    status.restarts += machine_.slots()[index].restarts;
    // Where no worker is to come, there is none to tell of.
    const bool ends = machine_.stopping() || machine_.is_doomed(index);
    if (machine_.slots()[index].current == 0 && !ends)
      status.workers.push_back(absent_status(index));
    for (const auto& [id, view] : machine_.workers()) {
      if (view.slot == index) status.workers.push_back(worker_status(id, view));
    }
  }
  return status;
}

}  // namespace appserver::supervisor

#include "supervisor/group.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <charconv>
#include <exception>
#include <utility>

#include "os/message_socket.hpp"
#include "supervisor/clock.hpp"
#include "supervisor/probe.hpp"

namespace appserver::supervisor {
namespace {

using channel::Kind;
using channel::Message;
using telemetry::Level;

GroupPolicy to_policy(const config::Group& group, Group::Begin begin = Group::Begin::start) {
  GroupPolicy policy;
  policy.count = begin == Group::Begin::start ? group.count : 0;
  policy.surge = group.reload.surge;
  policy.start_timeout = group.reload.start_timeout;
  policy.min_ready = group.reload.min_ready;
  policy.drain_timeout = group.reload.drain_timeout;
  policy.probe = !group.reload.probe.empty();
  policy.deadline = group.reload.deadline;
  return policy;
}

GroupPolicy to_policy(const RollOrder& order) {
  GroupPolicy policy = to_policy(order.release->config);
  policy.surge = order.surge.surge;
  policy.stop_first = order.surge.stop_first;
  policy.canary = order.canary.slots;
  policy.hold = order.canary.hold;
  if (order.way_back) policy.deadline = milliseconds(0);
  return policy;
}

std::function<double()> make_chance() {
  auto engine = std::make_shared<std::minstd_rand>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0.0, 1.0)(*engine); };
}

Message make_message(Kind kind, std::uint32_t slot = 0, std::uint64_t number = 0) {
  Message message;
  message.kind = kind;
  message.slot = slot;
  message.number = number;
  return message;
}

std::string describe_end(const WorkerView& view, const WorkerEnd& end, const std::string& build) {
  const bool by_itself = end.said_stopped && !view.draining && !end.status.signalled;
  if (by_itself) return "SIGTERM from outside: it drained and stopped";
  std::string words = describe_end(end, build);
  if (!view.aborted) return words;
  if (view.gate != Gate::open) return "hang (not ready within start_timeout): " + words;
  if (view.stalled) return "hang (no turn of its event loop): " + words;
  return fmt::format("hang (not ended {} s after drain_timeout): {}",
                     GroupMachine::kDrainGrace.count() / 1000, words);
}

// Ten ticks of a worker's loop.
constexpr milliseconds kMaxHeartbeatAge{1'000};

}  // namespace

Group::Group(const SpawnContext& context, GroupReleasePtr release, config::LogLevel log_level,
             Hooks hooks, Begin begin)
    : context_(context),
      log_level_(log_level),
      hooks_(std::move(hooks)),
      committed_(std::move(release)),
      listeners_(committed_->config, committed_->config.count),
      machine_(to_policy(committed_->config, begin), make_chance()),
      timer_(context.io),
      health_timer_(context.io) {
  make_room(committed_->config.count);
  renew_tls(committed_->config.tls, committed_->tls);
  renew_tls(committed_->config.link.tls, committed_->link);
  arm_health_check();
}

Group::~Group() {
  *alive_ = nullptr;
  for (auto& [id, process] : processes_) {
    if (process.process) process.process->forget();
  }
}

void Group::start() { apply(machine_.start(committed_->number, now())); }

void Group::make_room(std::uint32_t slots) {
  if (generations_.size() >= slots) return;
  generations_.resize(slots);
  last_exits_.resize(slots);
  handed_over_.resize(slots);
  had_outcome_.resize(slots);
}

void Group::open_for(const config::Group& config) { listeners_.extend(config, listeners_.slots()); }

void Group::close_unused() { listeners_.keep_only(committed_->config); }

void Group::roll(const RollOrder& order, OnEvent on_event, OnRolled rolled) {
  target_ = order.release;
  canary_ = order.canary;
  on_event_ = std::move(on_event);
  on_rolled_ = std::move(rolled);
  deaths_.clear();
  make_room(target_->config.count);
  renew_tls(target_->config.tls, target_->tls);
  renew_tls(target_->config.link.tls, target_->link);
  try {
    listeners_.extend(target_->config, std::max(target_->config.count, listeners_.slots()));
  } catch (const std::exception& error) {
    carry_out(effect::RollDone{Outcome::rolled_back, error.what()});
    return;
  }
  apply(machine_.roll(target_->number, to_policy(order), order.replace, now()));
}

bool Group::abort(const std::string& why) {
  if (!machine_.can_abort()) return false;
  apply(machine_.abort(why, now()));
  return true;
}

bool Group::proceed(const std::string& who) {
  if (!machine_.canary_waits()) return false;
  apply(machine_.canary_judged(CanaryAction::proceed, who, now()));
  return true;
}

void Group::tell_kept() {
  for (const auto& [id, view] : machine_.workers()) {
    if (view.gate != Gate::open || view.draining) continue;
    if (WorkerProcess* process = find(id)) process->send(make_message(Kind::kept));
  }
}

void Group::tell_gateway_size() {
  if (committed_->config.kind != config::GroupKind::gateway) return;
  for (const auto& [id, view] : machine_.workers()) {
    if (WorkerProcess* process = find(id))
      process->send(make_message(Kind::gateway_size, 0, committed_->config.count));
  }
}

void Group::stop(bool fast) {
  apply(machine_.stop(fast, now()));
  listeners_.close();
}

void Group::apply(const Effects& effects) {
  for (const Effect& effect : effects) {
    try {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    } catch (const std::exception& error) {
      // The machine counts on the others; what this one should have changed ends at a deadline of
      // its own.
      context_.log.error("{}: {}", name(), error.what());
    }
  }
  arm_timer();
}

void Group::arm_timer() {
  const auto deadline = machine_.next_deadline();
  if (!deadline) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(*deadline);
  timer_.async_wait([alive = alive_](const boost::system::error_code& error) {
    if (!error && *alive != nullptr) (*alive)->on_deadline();
  });
}

void Group::on_deadline() {
  // Alive for min_ready means that its loop has turned, not that the process exists.
  std::vector<WorkerId> standing_still;
  for (const auto& [id, view] : machine_.workers()) {
    const WorkerProcess* process = find(id);
    const bool due = view.gate == Gate::settling && view.deadline && *view.deadline <= now();
    if (due && process != nullptr && process->heartbeat_age() > kMaxHeartbeatAge)
      standing_still.push_back(id);
  }
  for (const WorkerId id : standing_still) {
    apply(machine_.worker_suspect(id, "its event loop stands still", now()));
  }
  apply(machine_.tick(now()));
}

WorkerProcess* Group::find(WorkerId worker) {
  const auto found = processes_.find(worker);
  return found == processes_.end() ? nullptr : found->second.process.get();
}

void Group::log(Level level, std::uint32_t slot, pid_t pid, const std::string& text) {
  context_.log.write(level, {name(), static_cast<int>(slot), pid, {}}, text);
}

GroupReleasePtr Group::release_of(ReleaseId release) const {
  return target_ && target_->number == release ? target_ : committed_;
}

const config::Group& Group::config_of(ReleaseId release) const {
  return release_of(release)->config;
}

void Group::start_process(WorkerId worker, std::uint32_t slot, ReleaseId number, os::Fd state) {
  const GroupReleasePtr release = release_of(number);
  channel::Boot boot;
  boot.slot = slot;
  boot.generation = ++generations_[slot];
  boot.plugin_file = release->build.file;
  boot.build = release->build.sha256;
  boot.log_level = log_level_;
  boot.group = release->config;
  boot.has_state = static_cast<bool>(state);
  WorkerProcess::Hooks hooks;
  hooks.message = [this, worker](Message& message) { on_message(worker, message); };
  hooks.gone = [this, worker](const WorkerEnd& end) { on_gone(worker, end); };
  Process& process = processes_[worker];
  process.generation = boot.generation;
  try {
    std::vector<int> descriptors = listeners_.of_slot(slot, release->config.addresses());
    if (state) descriptors.push_back(state.get());
    const TlsMaterialPtr tls = tls_of(*release);
    if (tls) descriptors.push_back(tls->file.get());
    const TlsMaterialPtr link = link_of(*release);
    if (link) descriptors.push_back(link->file.get());
    process.process = WorkerProcess::start(context_, boot, descriptors, std::move(hooks));
    log(Level::debug, slot, process.process->pid(), "started");
  } catch (const std::exception& error) {
    log(Level::error, slot, 0, fmt::format("cannot start a worker: {}", error.what()));
    last_exits_[slot] = fmt::format("cannot start: {}", error.what());
    could_not_start(worker, error.what());
  }
}

// Not from here: the machine is still telling us what to do.
void Group::could_not_start(WorkerId worker, const std::string& why) {
  boost::asio::post(context_.io, [alive = alive_, worker, why] {
    if (*alive == nullptr) return;
    Group& self = **alive;
    self.processes_.erase(worker);
    self.forget_heir(worker);
    const WorkerView* view = self.machine_.find(worker);
    const std::uint32_t slot = view == nullptr ? 0 : view->slot;
    self.apply(self.machine_.worker_gone(worker, why, now()));
    self.had_outcome(slot);
  });
}

void Group::carry_out(const effect::Probe& probe) {
  WorkerProcess* process = find(probe.worker);
  if (process == nullptr) return;
  const auto probed = [alive = alive_, id = probe.worker](bool passed, const std::string& why) {
    if (*alive != nullptr)
      (*alive)->apply((*alive)->machine_.worker_probed(id, passed, why, now()));
  };
  const WorkerView* view = machine_.find(probe.worker);
  const config::Reload& reload = config_of(view == nullptr ? 0 : view->release).reload;
  try {
    auto [ours, theirs] = os::make_socket_pair(SOCK_STREAM);
    process->send(make_message(Kind::probe), {theirs.get()});
    probe_http(context_.io, std::move(ours), reload.probe, reload.start_timeout, probed);
  } catch (const std::exception& error) {
    boost::asio::post(context_.io,
                      [probed, why = std::string(error.what())] { probed(false, why); });
  }
}

void Group::carry_out(const effect::Serve& serve) {
  WorkerProcess* process = find(serve.worker);
  const WorkerView* view = machine_.find(serve.worker);
  if (process == nullptr || view == nullptr) return;
  process->send(make_message(Kind::serve));
  began_to_serve(serve.worker, view->slot);
  log(Level::info, view->slot, process->pid(),
      fmt::format("ready, build {}", process->build().substr(0, 7)));
  had_outcome(view->slot);
}

void Group::carry_out(const effect::Drain& drain) {
  WorkerProcess* process = find(drain.worker);
  if (process == nullptr) return;
  const auto timeout = static_cast<std::uint64_t>(drain.timeout.count());
  WorkerProcess* successor = find(drain.successor);
  std::pair<os::Fd, os::Fd> ends;
  try {
    if (successor != nullptr) ends = os::make_socket_pair(SOCK_SEQPACKET);
  } catch (const std::exception& error) {
    // The polite drain needs no descriptor.
    context_.log.error("{}: no handover: {}", name(), error.what());
  }
  if (!ends.first) {
    process->send(make_message(Kind::drain, 0, timeout));
    return;
  }
  successor->send(make_message(Kind::adopt), {ends.second.get()});
  process->send(make_message(Kind::drain, 0, timeout), {ends.first.get()});
}

void Group::carry_out(const effect::Signal& signal) {
  WorkerProcess* process = find(signal.worker);
  const WorkerView* view = machine_.find(signal.worker);
  if (waiting_.erase(signal.worker) > 0) return could_not_start(signal.worker, signal.why);
  if (process == nullptr) return;
  if (view != nullptr)
    log(Level::warning, view->slot, process->pid(),
        fmt::format("killed: {}{}", signal.why, where_it_is(process->page())));
  process->signal(signal.signal);
}

void Group::carry_out(const effect::Lend& lend) {
  const std::vector<int> sockets = listeners_.to_lend(lend.slot);
  if (sockets.empty()) return;
  if (WorkerProcess* process = find(lend.to))
    process->send(make_message(Kind::lend, lend.slot), sockets);
}

void Group::carry_out(const effect::Reclaim& reclaim) {
  if (WorkerProcess* process = find(reclaim.from))
    process->send(make_message(Kind::reclaim, reclaim.slot));
}

void Group::carry_out(const effect::Restarting& restarting) {
  const std::string when = restarting.delay.count() == 0
                               ? "restarting at once"
                               : fmt::format("next start in {} ms", restarting.delay.count());
  log(restarting.crash_loop ? Level::error : Level::warning, restarting.slot, 0,
      restarting.crash_loop ? "crash-loop: " + when : when);
  if (!restarting.crash_loop || !hooks_.crash_looping) return;
  // Not from here: what follows may roll this group.
  boost::asio::post(context_.io, [alive = alive_] {
    if (*alive != nullptr) (*alive)->hooks_.crash_looping((*alive)->name());
  });
}

void Group::carry_out(const effect::Stopped&) {
  boost::asio::post(context_.io, [alive = alive_] {
    if (*alive == nullptr) return;
    // It may end this object.
    const auto stopped = (*alive)->hooks_.stopped;
    if (stopped) stopped(std::string((*alive)->name()));
  });
}

void Group::on_message(WorkerId worker, Message& message) {
  if (message.kind == Kind::ready) {
    took_no_state(worker, message.text);
    const WorkerView* view = machine_.find(worker);
    if (const WorkerProcess* process = find(worker); process != nullptr && view != nullptr)
      tell_most_connections(*process, config_of(view->release));
    apply(machine_.worker_ready(worker, now(), message.number == 1));
    return;
  }
  if (message.kind == Kind::state) {
    on_state(worker, message);
    return;
  }
  if (const WorkerView* view = machine_.find(worker)) {
    std::uint64_t& count = handed_over_[view->slot];
    std::from_chars(message.text.data(), message.text.data() + message.text.size(), count);
  }
  apply(machine_.worker_drained(worker, message.number, now()));
}

// Once for all workers, as long as it is the same: they have the same limits.
void Group::tell_most_connections(const WorkerProcess& process, const config::Group& config) {
  const std::uint64_t most = process.page().most_connections.get();
  if (most >= config.limits.max_connections) return;
  if (std::exchange(told_most_connections_, most) == most) return;
  context_.log.info(
      "{}: each worker serves at most {} connections instead of limits.max_connections ({}); "
      "raise rlimits.nofile",
      name(), most, config.limits.max_connections);
}

void Group::on_gone(WorkerId worker, const WorkerEnd& end) {
  const auto found = processes_.find(worker);
  const WorkerView* view = machine_.find(worker);
  if (found == processes_.end() || view == nullptr) return;
  const std::shared_ptr<WorkerProcess> process = found->second.process;
  const std::uint32_t slot = view->slot;
  const bool stopped = end.said_stopped && !end.status.signalled;
  const bool expected = (stopped && view->draining) ||
                        (view->killed && !view->aborted && view->role != Role::current);
  const bool by_itself = stopped && !view->draining;
  if (!stopped) forget_state(worker);
  const std::string words = describe_end(*view, end, process->build());
  left_nothing(worker, slot, words);
  forget_heir(worker);
  if (expected) {
    log(Level::info, slot, process->pid(), words);
  } else {
    last_exits_[slot] = words;
    // One that was to go anyway, and hung, harms nobody any more.
    const bool late = view->aborted && view->draining;
    log(late ? Level::warning : Level::error, slot, process->pid(), "ended: " + words);
    if (!by_itself) report_crash(*view, found->second, end, words);
  }
  if (view->gate == Gate::open && !end.said_stopped) {
    note_death(*view, *process, words);
    // Whoever was still connected noticed.
    const telemetry::WorkerPage& page = process->page();
    apply(machine_.worker_drained(worker, view->cut + page.connections.get() + page.unsent.get(),
                                  now()));
  }
  if (machine_.stopping()) count_cut_at_stop(slot, machine_.find(worker)->cut);
  processes_.erase(found);
  stop_waiting_for(worker);
  apply(machine_.worker_gone(worker, words, now()));
  had_outcome(slot);
}

// One that is being replaced, or told to go.
void Group::note_death(const WorkerView& view, const WorkerProcess& process,
                       const std::string& words) {
  const bool goes =
      view.draining || view.role == Role::retiring || machine_.slots()[view.slot].successor != 0;
  if (!goes) return;
  deaths_[view.slot] = {process.pid(), words};
  handed_over_[view.slot] = process.page().handed_over.get() - process.page().unsent.get();
}

void Group::count_cut_at_stop(std::uint32_t slot, std::uint64_t cut) {
  const auto died = take_death(slot);
  cut_at_stop_.push_back({cut, died ? describe(slot, *died) : std::string()});
}

void Group::had_outcome(std::uint32_t slot) {
  if (!had_outcome_[slot]) {
    had_outcome_[slot] = true;
    ++first_outcomes_;
  }
  if (hooks_.changed) hooks_.changed();
}

}  // namespace appserver::supervisor

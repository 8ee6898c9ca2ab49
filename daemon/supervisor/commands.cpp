#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "supervisor/supervisor.hpp"

// What the control API asks of the supervisor.
namespace appserver::supervisor {

using control::RolloutResult;
using RequestKind = RolloutRequest::Kind;

namespace {

std::string describe_peer(const control::Peer& peer) {
  return fmt::format("appserverctl (uid {}, pid {})", peer.uid, peer.pid);
}

RolloutRequest make_request(RequestKind kind, const control::Peer& peer,
                            std::vector<std::string> groups) {
  RolloutRequest request;
  request.kind = kind;
  request.groups = std::move(groups);
  request.who = describe_peer(peer);
  return request;
}

void send_done(const std::shared_ptr<control::EventStream>& events, RolloutResult result,
               const std::string& text, const std::string& rollout = {}) {
  control::RolloutEvent event;
  event.kind = control::EventKind::done;
  event.rollout = rollout;
  event.result = result;
  event.text = text;
  events->send(event);
}

}  // namespace

Group* Supervisor::find(const std::string& name) const {
  const auto found =
      std::ranges::find_if(groups_, [&](const auto& group) { return group->name() == name; });
  return found == groups_.end() ? nullptr : found->get();
}

control::DaemonState Supervisor::state() const {
  if (stopping_) return control::DaemonState::stopping;
  if (rollouts_->running()) return control::DaemonState::reloading;
  return up_ ? control::DaemonState::running : control::DaemonState::starting;
}

control::Status Supervisor::status() {
  control::Status status;
  status.daemon.version = version_;
  status.daemon.pid = ::getpid();
  status.daemon.uptime =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  if (!config_.file.empty()) status.daemon.config = config_.file.native();
  status.daemon.state = state();
  status.daemon.control_socket = config_.daemon.control_socket.native();
  status.daemon.release = rollouts_->release();
  status.rollout = rollouts_->status();
  if (status.rollout && status.rollout->state == control::RolloutState::over)
    status.rollout.reset();
  status.notes = notes();
  status.bus = bus_.status();
  if (rollouts_->stuck()) status.notes.push_back(*rollouts_->stuck());
  for (const auto& group : groups_) status.groups.push_back(group->status());
  return status;
}

void Supervisor::reload(control::ReloadRequest request, control::Peer peer,
                        std::shared_ptr<control::EventStream> events) {
  RolloutRequest rollout = make_request(RequestKind::reload, peer, std::move(request.groups));
  rollout.force = request.force;
  rollout.changed = request.changed;
  rollout.dry_run = request.dry_run;
  rollout.canary = request.canary;
  rollout.hold = request.hold;
  rollout.confirm_within = request.confirm_within;
  rollouts_->ask(std::move(rollout), std::move(events));
}

void Supervisor::restart(control::RestartRequest request, control::Peer peer,
                         std::shared_ptr<control::EventStream> events) {
  RolloutRequest rollout = make_request(RequestKind::reload, peer, {std::move(request.group)});
  rollout.force = true;
  rollouts_->ask(std::move(rollout), std::move(events));
}

void Supervisor::rollback(control::RollbackRequest request, control::Peer peer,
                          std::shared_ptr<control::EventStream> events) {
  RolloutRequest rollout = make_request(RequestKind::rollback, peer, {});
  if (request.group) rollout.groups = {*request.group};
  rollout.to = request.to;
  rollout.dry_run = request.dry_run;
  rollouts_->ask(std::move(rollout), std::move(events));
}

void Supervisor::scale(control::ScaleRequest request, control::Peer peer,
                       std::shared_ptr<control::EventStream> events) {
  RolloutRequest rollout = make_request(RequestKind::scale, peer, {std::move(request.group)});
  rollout.count = request.count;
  rollouts_->ask(std::move(rollout), std::move(events));
}

void Supervisor::drain(control::DrainRequest request, control::Peer peer,
                       std::shared_ptr<control::EventStream> events) {
  Group* group = find(request.group);
  if (group == nullptr) {
    std::vector<std::string> names;
    for (const auto& each : groups_) names.push_back(each->name());
    send_done(events, RolloutResult::refused,
              fmt::format("there is no group '{}'; the groups are: {}", request.group,
                          fmt::join(names, ", ")));
    return;
  }
  log_.info("{}/{}: drain asked for by {}", request.group, request.slot, describe_peer(peer));
  const std::string where = fmt::format("{}/{}", request.group, request.slot);
  const std::string why_not = group->recycle(
      request.slot, [events](const control::RolloutEvent& event) { events->send(event); },
      [events, where](bool replaced, const std::string& why, std::uint64_t cut) {
        if (!replaced) {
          send_done(events, RolloutResult::rolled_back,
                    fmt::format("{}: no fresh worker took over: {}", where, why));
        } else if (cut > 0) {
          send_done(
              events, RolloutResult::partial,
              fmt::format("{} has a fresh worker, but {} connection(s) were cut{}", where, cut,
                          why.empty() ? " while draining; see drain_timeout" : ": " + why));
        } else {
          send_done(events, RolloutResult::done, where + " has a fresh worker");
        }
      });
  if (why_not.empty()) return;
  if (!group->rolling() || !rollouts_->running()) {
    send_done(events, RolloutResult::refused, why_not);
    return;
  }
  const std::string rollout = rollouts_->status()->id;
  send_done(events, RolloutResult::busy,
            fmt::format("{}; try again when {} is over", why_not, rollout), rollout);
}

std::optional<control::RolloutStatus> Supervisor::rollout() { return rollouts_->status(); }

void Supervisor::watch(std::shared_ptr<control::EventStream> events) {
  rollouts_->watch(std::move(events));
}

std::string Supervisor::abort(control::Peer peer) { return rollouts_->abort(describe_peer(peer)); }

std::string Supervisor::proceed(control::Peer peer) {
  return rollouts_->proceed(describe_peer(peer));
}

std::string Supervisor::confirm(control::Peer peer) {
  return rollouts_->confirm(describe_peer(peer));
}

std::vector<control::ReleaseSummary> Supervisor::history() { return summarize(*keeper_->view()); }

std::vector<control::CrashRecord> Supervisor::crashes() {
  const auto& all = keeper_->view()->crashes;
  return {all.rbegin(), all.rend()};
}

std::optional<control::CrashRecord> Supervisor::crash(std::uint64_t number) {
  const auto& all = keeper_->view()->crashes;
  const auto found = std::ranges::find(all, number, &control::CrashRecord::number);
  if (found == all.end()) return std::nullopt;
  return *found;
}

void Supervisor::gateway(control::GatewayRequest request, control::Peer peer, GatewayDone done) {
  const Group* const group = find(request.gateway);
  if (group == nullptr || group->release()->config.kind != config::GroupKind::gateway) {
    std::vector<std::string> names;
    for (const auto& each : groups_) {
      if (each->release()->config.kind == config::GroupKind::gateway) names.push_back(each->name());
    }
    throw control::Rejection(
        404, {fmt::format("there is no gateway '{}'", request.gateway),
              names.empty() ? "no group has `kind: gateway`"
                            : fmt::format("the gateways are: {}", fmt::join(names, ", "))});
  }
  if (!peer.may_operate) check_pusher(*group, request.verb, peer);
  const auto workers = links_.workers_of(request.gateway);
  std::set<std::uint32_t> slots;
  for (const auto& worker : workers) slots.insert(worker->slot());
  asks_.ask(request, peer, workers, slots.size() < group->release()->config.count, std::move(done));
}

// Who may send may do nothing else.
void Supervisor::check_pusher(const Group& group, control::GatewayVerb verb,
                              const control::Peer& peer) {
  const bool sends = verb == control::GatewayVerb::send;
  if (sends && pushers_.may_push(group.release(), peer.uid)) return;
  throw control::Rejection(
      403, {fmt::format("uid {} may not {} clients of {}", peer.uid,
                        sends ? "send to" : "ask of, or change,", group.name()),
            sends ? fmt::format(
                        "add its user to may_push of groups.{}, or run it as root or as the user "
                        "that appserverd runs as",
                        group.name())
                  : "run it as root or as the user that appserverd runs as; may_push is for send"});
}

void Supervisor::stop(control::StopRequest request, control::Peer peer) {
  begin_stop(request.fast, describe_peer(peer));
}

}  // namespace appserver::supervisor

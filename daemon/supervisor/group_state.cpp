#include <fmt/format.h>

#include <exception>
#include <utility>
#include <vector>

#include "channel/state_file.hpp"
#include "os/memfd.hpp"
#include "supervisor/clock.hpp"
#include "supervisor/group.hpp"

// The part of a group that carries what a worker leaves to the next one of its slot. The supervisor
// passes the file on and never reads it.
namespace appserver::supervisor {

namespace {

using channel::Kind;
using channel::Message;
using telemetry::Level;

Message ask_for_state(std::uint64_t number) {
  Message message;
  message.kind = Kind::save_state;
  message.number = number;
  return message;
}

}  // namespace

void Group::carry_out(const effect::Spawn& spawn) {
  WorkerProcess* predecessor = find(spawn.predecessor);
  if (predecessor == nullptr) {
    start_process(spawn.worker, spawn.slot, spawn.release, what_was_left(spawn.slot));
    return;
  }
  Waiting& waiting = waiting_[spawn.worker];
  waiting.predecessor = spawn.predecessor;
  waiting.release = spawn.release;
  waiting.patience = std::make_unique<boost::asio::steady_timer>(context_.io);
  waiting.patience->expires_after(GroupMachine::kStatePatience);
  waiting.patience->async_wait(
      [alive = alive_, worker = spawn.worker](const boost::system::error_code& error) {
        if (error || *alive == nullptr) return;
        (*alive)->stop_waiting(worker, {}, (*alive)->describe_patience_over(worker));
      });
  predecessor->send(ask_for_state(spawn.worker));
}

std::string Group::describe_patience_over(WorkerId successor) {
  const auto waiting = waiting_.find(successor);
  const WorkerProcess* process =
      waiting == waiting_.end() ? nullptr : find(waiting->second.predecessor);
  const std::string where = process == nullptr ? "" : where_it_is(process->page());
  return fmt::format("no answer from on_save_state within {} ms, which no key changes{}{}",
                     GroupMachine::kStatePatience.count(), where,
                     where.empty() ? "" : ", at most for hang_timeout");
}

void Group::carry_out(const effect::LeaveState& leave) {
  WorkerProcess* process = find(leave.worker);
  if (process == nullptr) return;
  asked_to_leave_.insert(leave.worker);
  process->send(ask_for_state(0));
}

os::Fd Group::what_was_left(std::uint32_t slot) {
  const auto left = left_.find(slot);
  if (left == left_.end()) return {};
  std::string why_none = "who was given the state before has not come to serve";
  try {
    if (++left->second.given <= kMaxGiven) return left->second.file.duplicate();
  } catch (const std::exception& error) {
    why_none = error.what();
  }
  left_.erase(left);
  lose_state(slot, why_none, 0);
  return {};
}

// It has ended. One that does not answer is killed when its time to drain is over.
void Group::left_nothing(WorkerId worker, std::uint32_t slot, const std::string& how_it_ended) {
  if (asked_to_leave_.erase(worker) == 0) return;
  lose_state(slot, "it has ended without what on_save_state gives: " + how_it_ended, 0);
}

// Whoever is about to start in the slot has nothing to begin with. It is told at once, and in the
// status once that one serves: one that fails to start may not have cost anything.
void Group::lose_state(std::uint32_t slot, const std::string& why, WorkerId heir) {
  control::RolloutEvent event;
  event.kind = control::EventKind::message;
  event.slot = slot;
  event.text = "its successor starts empty: " + why;
  log(Level::warning, slot, 0, event.text);
  losing_[slot] = {why, heir};
  emit(std::move(event));
}

void Group::began_to_serve(WorkerId worker, std::uint32_t slot) {
  left_.erase(slot);
  auto losing = losing_.extract(slot);
  if (losing.empty() || (losing.mapped().heir != 0 && losing.mapped().heir != worker)) return;
  lost_state_[slot] = {std::move(losing.mapped().why), worker};
}

// It was given a file, and could not read it; `why` is empty otherwise.
void Group::took_no_state(WorkerId worker, const std::string& why) {
  const WorkerView* view = machine_.find(worker);
  if (view != nullptr && view->gate == Gate::starting && !why.empty())
    lose_state(view->slot, why, worker);
}

void Group::forget_heir(WorkerId worker) {
  std::erase_if(losing_, [worker](const auto& each) { return each.second.heir == worker; });
}

// The successor serves. The way back of a rollout brings nothing back.
void Group::forget_loss(std::uint32_t slot, WorkerId successor) {
  const auto lost = lost_state_.find(slot);
  if (lost == lost_state_.end() || lost->second.heir == successor || machine_.going_back()) return;
  lost_state_.erase(lost);
}

// The waiting successor starts, with the state or without. One that was given up meanwhile is known
// no more.
void Group::stop_waiting(WorkerId successor, os::Fd state, const std::string& why_none) {
  const auto found = waiting_.find(successor);
  const WorkerView* view = machine_.find(successor);
  if (found == waiting_.end() || view == nullptr) return;
  const Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  if (!why_none.empty())
    lose_state(view->slot, why_none, find(waiting.predecessor) == nullptr ? 0 : successor);
  start_process(successor, view->slot, waiting.release, std::move(state));
  apply(machine_.worker_started(successor, now()));
}

void Group::stop_waiting_for(WorkerId predecessor) {
  std::vector<WorkerId> successors;
  for (const auto& [successor, waiting] : waiting_) {
    if (waiting.predecessor == predecessor) successors.push_back(successor);
  }
  for (const WorkerId successor : successors) {
    const WorkerView* view = machine_.find(successor);
    // A SIGTERM may have been quicker than the question: then it was left unasked.
    const auto left = view == nullptr ? left_.end() : left_.find(view->slot);
    if (left != left_.end() && left->second.by == predecessor) {
      stop_waiting(successor, what_was_left(view->slot), {});
    } else {
      const auto died = view == nullptr ? deaths_.end() : deaths_.find(view->slot);
      stop_waiting(successor, {},
                   died == deaths_.end() ? "the worker before it has ended"
                                         : "the worker before it died: " + died->second.words);
    }
  }
}

void Group::on_state(WorkerId worker, Message& message) {
  const WorkerView* view = machine_.find(worker);
  if (view == nullptr) return;
  std::string why_none = message.text;
  os::Fd file;
  try {
    if (!message.fds.empty()) {
      os::check_sealed_memfd(message.fds.front().get(), channel::kMaxStateFile);
      file = std::move(message.fds.front());
    }
  } catch (const std::exception& error) {
    why_none = error.what();
  }
  const auto waiting = waiting_.find(message.number);
  if (waiting != waiting_.end() && waiting->second.predecessor == worker) {
    stop_waiting(message.number, std::move(file), why_none);
    return;
  }
  // Else an answer that comes too late: its successor has started without it.
  if (message.number != 0) return;
  asked_to_leave_.erase(worker);
  if (!why_none.empty()) lose_state(view->slot, why_none, 0);
  if (file) left_.insert_or_assign(view->slot, Left{worker, std::move(file)});
}

void Group::forget_state(WorkerId left_by) {
  std::erase_if(left_, [left_by](const auto& each) { return each.second.by == left_by; });
}

}  // namespace appserver::supervisor

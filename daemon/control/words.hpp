// The enumerations of the control API as the words of its JSON.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "control/api.hpp"

namespace appserver::control {

template <typename Enum, std::size_t Size>
using Words = std::array<std::pair<Enum, std::string_view>, Size>;

inline constexpr Words<DaemonState, 4> kDaemonStates{{{DaemonState::starting, "starting"},
                                                      {DaemonState::running, "running"},
                                                      {DaemonState::reloading, "reloading"},
                                                      {DaemonState::stopping, "stopping"}}};

inline constexpr Words<GroupState, 5> kGroupStates{{{GroupState::ok, "ok"},
                                                    {GroupState::starting, "starting"},
                                                    {GroupState::degraded, "degraded"},
                                                    {GroupState::crash_loop, "crash-loop"},
                                                    {GroupState::stopping, "stopping"}}};

inline constexpr Words<CertificateState, 6> kCertificateStates{
    {{CertificateState::ok, "ok"},
     {CertificateState::expiring, "expiring"},
     {CertificateState::expired, "expired"},
     {CertificateState::not_yet_valid, "not-yet-valid"},
     {CertificateState::kept, "kept"},
     {CertificateState::not_served, "not-served"}}};

inline constexpr Words<WorkerState, 6> kWorkerStates{{{WorkerState::starting, "starting"},
                                                      {WorkerState::ready, "ready"},
                                                      {WorkerState::hung, "hung"},
                                                      {WorkerState::draining, "draining"},
                                                      {WorkerState::backoff, "backoff"},
                                                      {WorkerState::crash_loop, "crash-loop"}}};

inline constexpr Words<EventKind, 18> kEventKinds{{{EventKind::rollout_started, "rollout_started"},
                                                   {EventKind::preflight, "preflight"},
                                                   {EventKind::plan, "plan"},
                                                   {EventKind::group_kept, "group_kept"},
                                                   {EventKind::group_added, "group_added"},
                                                   {EventKind::group_removed, "group_removed"},
                                                   {EventKind::group_started, "group_started"},
                                                   {EventKind::slot_starting, "slot_starting"},
                                                   {EventKind::slot_ready, "slot_ready"},
                                                   {EventKind::slot_draining, "slot_draining"},
                                                   {EventKind::slot_replaced, "slot_replaced"},
                                                   {EventKind::slot_failed, "slot_failed"},
                                                   {EventKind::canary_holding, "canary_holding"},
                                                   {EventKind::canary_judged, "canary_judged"},
                                                   {EventKind::rolled_back, "rolled_back"},
                                                   {EventKind::group_done, "group_done"},
                                                   {EventKind::message, "message"},
                                                   {EventKind::done, "done"}}};

inline constexpr Words<RolloutState, 7> kRolloutStates{{{RolloutState::preparing, "preparing"},
                                                        {RolloutState::rolling, "rolling"},
                                                        {RolloutState::holding, "holding"},
                                                        {RolloutState::waiting, "waiting"},
                                                        {RolloutState::reverting, "reverting"},
                                                        {RolloutState::confirming, "confirming"},
                                                        {RolloutState::over, "over"}}};

inline constexpr Words<RolloutResult, 7> kRolloutResults{
    {{RolloutResult::done, "done"},
     {RolloutResult::failed, "failed"},
     {RolloutResult::refused, "refused"},
     {RolloutResult::rolled_back, "rolled_back"},
     {RolloutResult::partial, "partial"},
     {RolloutResult::busy, "busy"},
     {RolloutResult::stopped, "stopped"}}};

template <typename Enum, std::size_t Size>
constexpr std::string_view word_of(const Words<Enum, Size>& words, Enum value) {
  for (const auto& [each, word] : words) {
    if (each == value) return word;
  }
  return "unknown";
}

template <typename Enum, std::size_t Size>
constexpr std::optional<Enum> value_of(const Words<Enum, Size>& words, std::string_view word) {
  for (const auto& [value, each] : words) {
    if (each == word) return value;
  }
  return std::nullopt;
}

}  // namespace appserver::control

#include "appserverctl/rollout_view.hpp"

#include <fmt/format.h>

#include "appserverctl/event_view.hpp"
#include "appserverctl/text.hpp"

namespace appserver::appserverctl {

namespace {

using control::RolloutState;
using control::RolloutStatus;

std::string_view way_on(const RolloutStatus& rollout) {
  switch (rollout.state) {
    case RolloutState::preparing:
    case RolloutState::rolling:
    case RolloutState::holding:
      return rollout.can_abort ? "follow it with `appserverctl reload watch`, end it with "
                                 "`appserverctl reload abort`"
                               : "follow it with `appserverctl reload watch`; it cannot be aborted "
                                 "now";
    case RolloutState::waiting:
      return rollout.can_abort
                 ? "it waits for you: `appserverctl reload continue` or `appserverctl reload abort`"
                 : "it waits for you: `appserverctl reload continue`";
    case RolloutState::reverting:
      return "follow it with `appserverctl reload watch`";
    case RolloutState::confirming:
      return rollout.can_abort ? "keep it with `appserverctl reload confirm`, go back now with "
                                 "`appserverctl reload abort`"
                               : "keep it with `appserverctl reload confirm`";
    case RolloutState::over:
      return "";
  }
  return "";
}

}  // namespace

std::string print_rollout_line(const RolloutStatus& rollout) {
  std::string line = fmt::format("rollout {} {}", escaped(rollout.id), to_word(rollout.state));
  if (rollout.slots > 0) {
    line += fmt::format(", {}/{} slots", rollout.slots_done, rollout.slots);
  }
  if (rollout.left) {
    line += fmt::format(", {} left",
                        human_duration(std::chrono::ceil<std::chrono::seconds>(*rollout.left)));
  }
  if (rollout.queued) line += ", another one waits";
  if (rollout.result) return line + ": " + print_verdict(*rollout.result, rollout.text);
  return rollout.text.empty() ? line : line + ": " + escaped_text(rollout.text);
}

std::string print_rollout(const RolloutStatus& rollout) {
  std::string out = print_rollout_line(rollout) + "\n";
  out += fmt::format("asked for by {}: {}\n", escaped(rollout.who), escaped_text(rollout.what));
  if (rollout.release > 0) out += fmt::format("release {}, ", rollout.release);
  const std::string span = human_span(rollout.elapsed);
  out += rollout.state == RolloutState::over ? fmt::format("took {}\n", span)
                                             : fmt::format("{} so far\n", span);
  if (const auto way = way_on(rollout); !way.empty()) out += fmt::format("{}\n", way);
  return out;
}

}  // namespace appserver::appserverctl

#include "appserverctl/rollout_view.hpp"

#include <fmt/format.h>

#include "appserverctl/event_view.hpp"
#include "appserverctl/text.hpp"

namespace appserver::appserverctl {

namespace {

using control::RolloutState;
using control::RolloutStatus;

std::string_view way_on(RolloutState state) {
  switch (state) {
    case RolloutState::preparing:
    case RolloutState::rolling:
    case RolloutState::holding:
      return "follow it with `appserverctl reload watch`, end it with `appserverctl reload abort`";
    case RolloutState::waiting:
      return "it waits for you: `appserverctl reload continue` or `appserverctl reload abort`";
    case RolloutState::reverting:
      return "follow it with `appserverctl reload watch`";
    case RolloutState::confirming:
      return "keep it with `appserverctl reload confirm`, go back now with `appserverctl reload "
             "abort`";
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
  if (const auto way = way_on(rollout.state); !way.empty()) out += fmt::format("{}\n", way);
  return out;
}

}  // namespace appserver::appserverctl

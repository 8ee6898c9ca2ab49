#include "appserverctl/event_view.hpp"

#include <fmt/format.h>

#include "appserverctl/status_view.hpp"
#include "appserverctl/text.hpp"

namespace appserver::appserverctl {

namespace {

using control::EventKind;
using control::RolloutEvent;
using control::RolloutResult;

std::string_view words_for(RolloutResult result) {
  switch (result) {
    case RolloutResult::done:
      return "nothing more to do";
    case RolloutResult::failed:
      return "no reason given";
    case RolloutResult::refused:
      return "refused in preflight";
    case RolloutResult::rolled_back:
      return "no reason given";
    case RolloutResult::partial:
      return "partly done; look at `appserverctl status`";
    case RolloutResult::busy:
      return "another reload is running";
    case RolloutResult::stopped:
      return "the daemon is stopping";
  }
  return "";
}

std::string_view verdict_for(RolloutResult result) {
  switch (result) {
    case RolloutResult::done:
      return "done";
    case RolloutResult::refused:
      return "REFUSED, nothing was touched";
    case RolloutResult::rolled_back:
      return "ROLLED BACK, the old build serves";
    case RolloutResult::partial:
      return "PARTLY DONE";
    case RolloutResult::failed:
    case RolloutResult::busy:
    case RolloutResult::stopped:
      return "FAILED";
  }
  return "FAILED";
}

std::string subject(const RolloutEvent& event) {
  if (event.group.empty()) return escaped(event.rollout);
  return event.slot ? fmt::format("{}/{}", escaped(event.group), *event.slot)
                    : escaped(event.group);
}

}  // namespace

std::string print_verdict(RolloutResult result, std::string_view text) {
  return fmt::format("{}: {}", verdict_for(result),
                     text.empty() ? std::string(words_for(result)) : escaped_text(text));
}

std::string print_step(const RolloutEvent& event) {
  std::string step(control::to_words(event.kind));
  const auto add = [&](std::string_view word) {
    step.append(step.empty() || word.empty() ? "" : " ").append(word);
  };
  if (event.pid && event.old_pid) {
    add(fmt::format("pid {} -> {}", *event.old_pid, *event.pid));
  } else if (event.pid || event.old_pid) {
    add(fmt::format("pid {}", event.pid ? *event.pid : *event.old_pid));
  }
  return step;
}

std::string print_event(const RolloutEvent& event) {
  if (event.kind == EventKind::done) {
    return print_verdict(event.result.value_or(RolloutResult::failed), event.text);
  }
  std::string line = since_start(event.elapsed);
  const auto add = [&](std::string_view word) {
    if (!word.empty()) line.append(" ").append(word);
  };
  add(subject(event));
  add(print_step(event));
  if (!event.build.empty()) add("build " + escaped(short_build(event.build)));
  if (event.handed_over) add(fmt::format("handed over {}", *event.handed_over));
  if (event.cut) add(fmt::format("cut {}", *event.cut));
  if (event.text.empty()) return line;
  const std::string text = escaped_text(event.text);
  return event.kind == EventKind::message ? line + " " + text : line + ": " + text;
}

}  // namespace appserver::appserverctl

#include "support/records.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>
#include <stdexcept>

namespace appserver::integration {

namespace json = boost::json;

namespace {

std::string text_or_empty(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? std::string() : std::string(value->as_string());
}

template <typename Number>
Number number_or(const json::object& object, std::string_view name, Number otherwise) {
  const auto* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? otherwise : value->to_number<Number>();
}

}  // namespace

std::vector<Event> events_of(const std::string& lines) {
  std::vector<Event> events;
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    const auto parsed = json::parse(line);
    const auto& object = parsed.as_object();
    Event event;
    event.kind = std::string(object.at("event").as_string());
    event.rollout = text_or_empty(object, "rollout");
    event.group = text_or_empty(object, "group");
    event.slot = number_or<std::int64_t>(object, "slot", -1);
    event.pid = number_or<pid_t>(object, "pid", 0);
    event.text = text_or_empty(object, "text");
    event.result = text_or_empty(object, "result");
    event.exit_code = number_or<int>(object, "exit_code", -1);
    events.push_back(std::move(event));
  }
  return events;
}

std::vector<Event> events_of(const std::string& lines, std::string_view kind,
                             std::string_view group) {
  auto events = events_of(lines);
  std::erase_if(events, [&](const Event& event) {
    return event.kind != kind || (!group.empty() && event.group != group);
  });
  return events;
}

std::vector<Release> parse_history(std::string_view text) {
  const auto root = json::parse(text);
  std::vector<Release> releases;
  for (const auto& each : root.as_object().at("releases").as_array()) {
    const auto& object = each.as_object();
    Release release;
    release.number = object.at("number").to_number<std::int64_t>();
    release.who = text_or_empty(object, "who");
    release.what = text_or_empty(object, "what");
    release.result = text_or_empty(object, "result");
    release.committed = object.at("committed").as_bool();
    release.available = object.at("available").as_bool();
    releases.push_back(std::move(release));
  }
  return releases;
}

const Release& release_of(const std::vector<Release>& history, std::int64_t number) {
  const auto found = std::find_if(history.begin(), history.end(),
                                  [&](const Release& each) { return each.number == number; });
  if (found == history.end()) {
    throw std::runtime_error("the history has no release " + std::to_string(number));
  }
  return *found;
}

}  // namespace appserver::integration

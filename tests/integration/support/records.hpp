// What appserverctl prints with --json of rollouts and releases, typed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::integration {

// A line of a rollout. What it does not say is empty, 0 or -1.
struct Event {
  std::string kind;
  std::string rollout;
  std::string group;
  std::int64_t slot = -1;
  pid_t pid = 0;
  std::string text;
  std::string result;
  int exit_code = -1;
};

// Throws std::runtime_error at a line that is no JSON object with an "event".
std::vector<Event> events_of(const std::string& lines);
// The events of one kind, and of one group unless that is empty.
std::vector<Event> events_of(const std::string& lines, std::string_view kind,
                             std::string_view group = {});

struct Release {
  std::int64_t number = 0;
  std::string who;
  std::string what;
  std::string result;
  bool committed = false;
  bool available = false;
};

// From `history --json`. In the order in which it stands there.
std::vector<Release> parse_history(std::string_view json);
// Throws std::runtime_error where there is none of this number.
const Release& release_of(const std::vector<Release>& history, std::int64_t number);

}  // namespace appserver::integration

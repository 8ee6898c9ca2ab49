// The command line as values.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace appserver::appserverctl {

struct Options {
  std::string verb;  // one of those that `help` lists
  std::vector<std::string>
      names;           // groups, or the file of `check`; their number is right for the verb
  std::string socket;  // empty: not given
  std::string config;  // empty: not given
  std::optional<std::chrono::milliseconds> timeout;
  bool json = false;
  bool force = false;
  bool fast = false;
};

// what() says what is wrong and what was probably meant.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Options may stand before or after the verb. Throws UsageError, also for an option that the verb
// does not take.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace appserver::appserverctl

// The command line as values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace appserver::appserverctl {

// Of `gateway ...`.
struct GatewayOptions {
  std::string gateway;  // the name of the group
  bool all = false;
  std::vector<std::string> clients;
  std::vector<std::string> uids;
  std::vector<std::string> groups;
  std::vector<std::string> except;
  bool binary = false;
  bool sessions = false;
  std::optional<std::uint32_t> code;
  std::optional<std::uint64_t> expected;
};

struct Options {
  // One of those that `help` lists; with a second word where it has one that is not a name:
  // "reload watch", "crashes show", "gateway send".
  std::string verb;
  // Groups, the file of `check`, or the text or name of `gateway ...`; their number is right for
  // the verb.
  std::vector<std::string> names;
  std::string socket;  // empty: not given
  std::string config;  // empty: not given
  std::optional<std::chrono::milliseconds> timeout;
  bool json = false;
  bool force = false;
  bool fast = false;
  bool changed = false;
  bool dry_run = false;
  bool no_wait = false;
  std::optional<std::uint32_t> canary;
  std::optional<std::chrono::milliseconds> hold;
  std::optional<std::chrono::milliseconds> confirm_within;
  std::optional<std::uint64_t> number;  // of the release of `rollback --to`, the crash of `show`
  std::uint32_t count = 0;              // of `scale`
  std::uint32_t slot = 0;               // of `drain`
  GatewayOptions of_gateway;
};

// what() says what is wrong and what was probably meant.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Options may stand before or after the verb. Throws UsageError, also for an option that the verb
// does not take.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace appserver::appserverctl

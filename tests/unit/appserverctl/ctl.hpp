// appserverctl run inside the test.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "appserverctl/run.hpp"
#include "fake_daemon.hpp"

namespace appserver::appserverctl {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

// The console is as `change` leaves it.
inline Outcome ctl(
    std::vector<std::string> arguments, std::map<std::string, std::string> environment = {},
    const std::function<void(Console&)>& change = [](Console&) {}) {
  std::ostringstream out;
  std::ostringstream err;
  Console console{out, err, [&](const std::string& name) -> std::optional<std::string> {
                    const auto found = environment.find(name);
                    if (found == environment.end()) return std::nullopt;
                    return found->second;
                  }};
  change(console);
  const int code = run(arguments, console);
  return {code, out.str(), err.str()};
}

inline Outcome ctl_for(
    const control::FakeDaemon& daemon, std::vector<std::string> arguments,
    const std::function<void(Console&)>& change = [](Console&) {}) {
  arguments.insert(arguments.end(), {"--socket", daemon.socket().native()});
  return ctl(std::move(arguments), {}, change);
}

}  // namespace appserver::appserverctl

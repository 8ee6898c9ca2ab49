// appserverctl without its main.
#pragma once

#include <functional>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "os/fd.hpp"

namespace appserver::appserverctl {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// Where a run writes and what it sees of its surroundings.
struct Console {
  std::ostream& out;
  std::ostream& err;
  Environment environment;
  bool terminal = false;  // `out` is one whose cursor can be moved
  std::size_t columns = 80;
  // A descriptor that becomes readable once the person wants to leave; asked for only while a
  // rollout is followed, which goes on without him. Without it the process ends as ever.
  std::function<os::Fd()> farewell{};
  std::istream* in = nullptr;  // what `-` reads; null: nothing
};

// 0 done, 1 failed, 2 usage, 3 refused in preflight, 4 rolled back, 5 partial, 6 another one runs,
// 7 --timeout hit or left by a signal, 8 no daemon.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kPartial = 5;
inline constexpr int kTimedOut = 7;
inline constexpr int kNoDaemon = 8;

// The whole program: `arguments` without the program's name; gives the exit code and does not
// throw.
int run(const std::vector<std::string>& arguments, const Console& console);

}  // namespace appserver::appserverctl

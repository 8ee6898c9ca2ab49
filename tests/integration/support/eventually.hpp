// Waiting for a state that has no descriptor to wait on.
#pragma once

#include <poll.h>

#include <stdexcept>
#include <string>

#include "support/deadline.hpp"

namespace appserver::integration {

inline void pause_briefly(int milliseconds_between_looks = 5) {
  ::poll(nullptr, 0, milliseconds_between_looks);
}

// True as soon as predicate() is, false once the deadline has passed; looks at least once.
template <typename Predicate>
bool becomes_true(Predicate&& predicate, Deadline deadline) {
  for (;;) {
    if (predicate()) return true;
    if (deadline.passed()) return false;
    pause_briefly();
  }
}

// Throws std::runtime_error with what was waited for, and details(), such as a log, once the
// deadline has passed.
template <typename Predicate, typename Details>
void eventually(const std::string& what, Deadline deadline, Predicate&& predicate,
                Details&& details) {
  if (becomes_true(predicate, deadline)) return;
  throw std::runtime_error("waited in vain until " + what + "\n" + details());
}

template <typename Predicate>
void eventually(const std::string& what, Deadline deadline, Predicate&& predicate) {
  eventually(what, deadline, predicate, [] { return std::string(); });
}

}  // namespace appserver::integration

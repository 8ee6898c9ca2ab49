// The one exception for a file that this appserverd will not run.
#pragma once

#include <stdexcept>

namespace appserver::plugin {

// what() says what is wrong with the plugin and what its author or operator can do about it, in one
// line.
class BadPlugin : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace appserver::plugin

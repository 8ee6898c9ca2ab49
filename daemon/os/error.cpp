#include "os/error.hpp"

namespace appserver::os {

void throw_system_error(int error, const std::string& what_was_tried) {
  throw SystemError(error, what_was_tried);
}

}  // namespace appserver::os

#include "plugin/build.hpp"

#include <fmt/format.h>

#include <string_view>

namespace appserver::plugin {

std::string describe(const Build& build) {
  return fmt::format("{} {} ({}, abi {})", build.name, build.version,
                     std::string_view(build.sha256).substr(0, 7), build.abi);
}

}  // namespace appserver::plugin

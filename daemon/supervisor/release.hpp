// What a group runs: its configuration and the build of its plugin, under a number. Immutable once
// made.
#pragma once

#include <cstdint>
#include <memory>

#include "config/config.hpp"
#include "plugin/build.hpp"

namespace appserver::supervisor {

struct Release {
  std::uint64_t number = 0;
  config::Group config;
  plugin::Build build;
};

using ReleasePtr = std::shared_ptr<const Release>;

}  // namespace appserver::supervisor

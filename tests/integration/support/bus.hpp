// The bus process of a daemon.
#pragma once

#include <sys/types.h>

#include <catch2/catch.hpp>
#include <string>

#include "support/daemon.hpp"

namespace appserver::integration {

// The one that was started last.
inline pid_t bus_of(const Daemon& daemon) {
  const std::string log = daemon.log();
  const std::string what = "the bus runs, pid ";
  const auto at = log.rfind(what);
  REQUIRE(at != std::string::npos);
  return std::stoi(log.substr(at + what.size()));
}

}  // namespace appserver::integration

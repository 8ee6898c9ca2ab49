// A dead worker's crash note as lines for people. Reads the files of the modules; nothing in the
// note is trusted.
#pragma once

#include <string>
#include <vector>

#include "telemetry/worker_page.hpp"

namespace appserver::supervisor {

struct CrashStack {
  std::string address;              // "0x10" for a memory fault; else empty
  std::vector<std::string> frames;  // innermost first: "shop.so+0x12a0 shop::price(int)"
};

// Empty without a note. Takes as long as reading the modules' symbol tables does.
CrashStack describe_crash(const telemetry::CrashNote& note);

}  // namespace appserver::supervisor

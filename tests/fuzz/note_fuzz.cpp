// Whatever a dropped file holds, inspect() returns or refuses it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "plugin/bad_plugin.hpp"
#include "plugin/inspect.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    static_cast<void>(appserver::plugin::inspect(std::as_bytes(std::span(data, size))));
  } catch (const appserver::plugin::BadPlugin&) {
    return 0;
  }
  return 0;
}

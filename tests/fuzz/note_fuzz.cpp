// Whatever a dropped file holds, inspect() returns or refuses it, and examine() says the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "plugin/bad_plugin.hpp"
#include "plugin/inspect.hpp"
#include "plugin/report.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace plugin = appserver::plugin;
  const auto content = std::as_bytes(std::span(data, size));
  const bool fits = plugin::count_problems(plugin::examine(content)) == 0;
  try {
    static_cast<void>(plugin::inspect(content));
    if (!fits) std::abort();
  } catch (const plugin::BadPlugin&) {
    if (fits) std::abort();
  }
  return 0;
}

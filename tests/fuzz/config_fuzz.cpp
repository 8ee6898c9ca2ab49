// Any bytes are a configuration or a ConfigError with at least one problem; what loads also
// survives its own dump.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "config/load.hpp"

namespace {

using namespace appserver;

std::optional<std::string> fixed_environment(const std::string& name) {
  if (name == "NAME") return "value";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  if (text.find("include") != std::string::npos) return 0;  // it would read this machine's files
  const std::string file = "/nonexistent/app.yaml";
  config::Config config;
  try {
    config = config::load_text(text, file, fixed_environment);
  } catch (const config::ConfigError& error) {
    if (error.problems().empty()) std::abort();
    return 0;
  }
  const std::string dumped = config::dump(config);
  if (dumped.size() > std::size_t{1} << 20) return 0;  // spread over lines it is too large a file
  const config::Config again = config::load_text(dumped, file, fixed_environment);
  if (again.daemon != config.daemon || again.groups != config.groups) std::abort();
  return 0;
}

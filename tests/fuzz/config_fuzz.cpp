// Any bytes are a configuration or a ConfigError with at least one problem; what loads also
// survives its own dump, and each group its own record.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "config/load.hpp"
#include "config/record.hpp"

namespace {

using namespace appserver;

std::optional<std::string> fixed_environment(const std::string& name) {
  if (name == "NAME") return "value";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

// Includes, and groups dropped into a folder other than the default one, which does not exist.
bool may_read_files(const std::string& text) {
  const auto says = [&text](const char* word) { return text.find(word) != std::string::npos; };
  return says("include") || (says("watch") && says("dir"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  if (may_read_files(text)) return 0;
  const std::string file = "/nonexistent/app.yaml";
  config::Config config;
  try {
    config = config::load_text(text, file, fixed_environment);
  } catch (const config::ConfigError& error) {
    if (error.problems().empty()) std::abort();
    return 0;
  }
  for (const config::Group& group : config.groups) {
    if (config::group_from_json(config::to_json(group)) != group) std::abort();
  }
  const std::string dumped = config::dump(config);
  if (dumped.size() > std::size_t{1} << 20) return 0;  // spread over lines it is too large a file
  const config::Config again = config::load_text(dumped, file, fixed_environment);
  if (again.daemon != config.daemon || again.groups != config.groups) std::abort();
  return 0;
}

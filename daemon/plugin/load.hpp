// Loading a plugin into this process: for workers and preflight only, since it runs the plugin's
// static constructors.
#pragma once

#include <appserver/abi.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace appserver::plugin {

// dlopen(RTLD_NOW | RTLD_LOCAL); never unloaded. Throws BadPlugin if the loader refuses or the
// exported table is unusable. What the constructors of the plugin do (throw, crash, exit, hang)
// happens to this process.
appserver_plugin load(const std::filesystem::path& file);

// Our copy of a table that a plugin gave, with NULL in the fields that its size does not reach;
// nothing for a null pointer or a table too short to be one.
template <typename Table>
std::optional<Table> read_table(const void* theirs) {
  static_assert(std::is_trivially_copyable_v<Table> && offsetof(Table, size) == 0);
  if (theirs == nullptr) return std::nullopt;
  std::uint32_t size = 0;
  std::memcpy(&size, theirs, sizeof(size));
  if (size < sizeof(size)) return std::nullopt;
  Table ours{};
  std::memcpy(&ours, theirs, std::min<std::size_t>(size, sizeof(Table)));
  return ours;
}

// The check behind load(): our copy of the exported table. Throws BadPlugin.
appserver_plugin read_plugin(const void* exported);

// A dlerror(3) text for people: C++ names readable, with the way out for the usual causes. `file`
// is left out of the text.
std::string explain_loader_error(std::string_view error, const std::filesystem::path& file);

}  // namespace appserver::plugin

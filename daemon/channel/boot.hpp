// Everything a new worker is told about what it is to be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace appserver::channel {

enum class Purpose : std::uint8_t {
  serve,
  preflight,  // load the plugin, say ready or failed, and end
  bus,        // carry messages between workers; no plugin, settings: its bounds
};

struct Boot {
  Purpose purpose = Purpose::serve;
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
  std::filesystem::path plugin_file;  // in the store
  std::string build;                  // its SHA-256 in hex
  config::LogLevel log_level = config::LogLevel::info;
  config::Group group;
  bool has_state = false;  // the last descriptor of the boot message is a predecessor's state
};

inline constexpr std::size_t kMaxBootRecord = std::size_t{4} << 20;

std::string encode(const Boot& boot);

// Throws std::runtime_error on anything that encode would not have written.
Boot decode(std::string_view record);

}  // namespace appserver::channel

// Addresses to listen on, from text. Nothing is resolved and nothing is opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "config/config.hpp"
#include "config/values.hpp"

namespace appserver::config {

// Before the path of a unix socket.
inline constexpr std::string_view kUnixPrefix = "unix:";
inline constexpr std::uint32_t kLastPort = 65'535;

// Paths of unix sockets are relative to `folder`, which is absolute.
Parsed<Listen> parse_listen(std::string_view text, const std::filesystem::path& folder);

// Empty if a unix socket can have this path (107 bytes at most), else why not.
std::string unix_path_problem(const std::filesystem::path& path);

}  // namespace appserver::config

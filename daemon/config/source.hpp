// The text of a configuration file, checked before YAML sees it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "config/problems.hpp"

namespace appserver::config {

// Offset of the first byte that is not part of valid UTF-8; nullopt if all is.
std::optional<std::size_t> first_non_utf8(std::string_view text);

// The content of a regular file of at most 1 MiB; never waits on a FIFO or a device. nullopt after
// a problem, which names the file as `name`.
std::optional<std::string> read_source(const std::filesystem::path& file, const std::string& name,
                                       Problems& problems);

// False after a problem: too large, not UTF-8, or control bytes in it.
bool check_source(std::string_view text, const std::string& name, Problems& problems);

}  // namespace appserver::config

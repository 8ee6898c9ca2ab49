// Paths as values: made absolute and tidy, never looked at on disk.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace appserver::config {

// `path` below `folder` (absolute) unless it is absolute itself, without ".", ".." and a last '/'.
std::filesystem::path absolute_path(std::string_view path, const std::filesystem::path& folder);

// The folder that the relative paths of a file begin in; absolute. Of an empty path: the current
// one.
std::filesystem::path folder_of(const std::filesystem::path& file);

// How messages say the file `path` (absolute) beside a file in `folder` (absolute) that they call
// `name`: "etc/app.yaml" includes "etc/conf.d/a.yaml", just as a person would write it.
std::string name_beside(const std::filesystem::path& name, const std::filesystem::path& folder,
                        const std::filesystem::path& path);

}  // namespace appserver::config

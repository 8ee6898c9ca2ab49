#include "config/paths.hpp"

#include <system_error>

namespace appserver::config {

std::filesystem::path absolute_path(std::string_view path, const std::filesystem::path& folder) {
  std::filesystem::path result = (folder / path).lexically_normal();
  if (!result.has_filename() && result.has_parent_path() && result != result.root_path()) {
    result = result.parent_path();
  }
  return result;
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::path current = std::filesystem::current_path(error);
  if (error) current = "/";  // the current folder was deleted; an absolute `file` does not need it
  return absolute_path(file.parent_path().native(), current);
}

std::string name_beside(const std::filesystem::path& name, const std::filesystem::path& folder,
                        const std::filesystem::path& path) {
  if (name.is_absolute()) return path;
  const std::filesystem::path relative = path.lexically_relative(folder);
  if (relative.empty() || *relative.begin() == "..") return path;
  return name.parent_path() / relative;
}

}  // namespace appserver::config

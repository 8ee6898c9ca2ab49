// Loading from text with an environment of our own, and folders that go with their test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace appserver::config {

inline Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

inline Config load_yaml(std::string_view text, std::map<std::string, std::string> variables = {}) {
  return load_text(text, "/srv/app.yaml", environment_of(std::move(variables)));
}

// The group `api` of a file that has these lines in it, indented by four.
inline Group load_group(const std::string& lines) {
  return load_yaml("groups:\n  api:\n    plugin: hello\n" + lines).groups.at(0);
}

// What is wrong, a line per problem and without the folder; empty if nothing is.
inline std::vector<std::string> problems_of(std::string_view text,
                                            std::map<std::string, std::string> variables = {}) {
  std::vector<std::string> lines;
  try {
    load_text(text, "app.yaml", environment_of(std::move(variables)));
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) lines.push_back(to_string(problem));
  }
  return lines;
}

inline std::vector<std::string> group_problems(const std::string& lines) {
  return problems_of("groups:\n  api:\n    plugin: hello\n" + lines);
}

using Lines = std::vector<std::string>;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "config_test.XXXXXX").native();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = std::filesystem::canonical(name);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view text) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
  // What is wrong with a file in here, paths without this folder.
  Lines problems_of(const std::string& name) const {
    Lines lines;
    try {
      load_file(path_ / name, environment_of({}));
    } catch (const ConfigError& error) {
      for (const Problem& problem : error.problems())
        lines.push_back(without_folder(to_string(problem)));
    }
    return lines;
  }

  std::string without_folder(std::string text) const {
    const std::string folder = path_.native() + "/";
    for (auto at = text.find(folder); at != std::string::npos; at = text.find(folder)) {
      text.erase(at, folder.size());
    }
    return text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace appserver::config

// Reading configuration: YAML to config::Config, every error at once, each with file:line:column
// and a way out.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace appserver::config {

struct Problem {
  std::string file;
  int line = 0;    // from 1; 0 where the file as a whole is meant
  int column = 0;  // from 1
  std::string message;
};

// "app.yaml:3:5: unknown key 'cuont' in groups.api; did you mean 'count'?"
std::string to_string(const Problem& problem);

// Everything that is wrong with a configuration; what() has a line per problem.
class ConfigError : public std::runtime_error {
 public:
  explicit ConfigError(std::vector<Problem> problems);
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

// The file itself cannot be read: nothing is known of what stands there.
class UnreadableFile final : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

// Looks up ${NAME}; nullopt where it is not set. ::getenv by default.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// What becomes of mistakes in what was dropped into the plugin folder, and of a folder that cannot
// be read. One that is missing is left out, and no error, in both cases.
enum class DroppedMistakes { are_errors, are_left_out };

// Relative paths in the file are relative to its folder. Where `plugins.watch` is set, the groups
// that were dropped into the plugin folder follow those of the file. Throws ConfigError.
Config load_file(const std::filesystem::path& file,
                 const Environment& environment = process_environment(),
                 DroppedMistakes mistakes = DroppedMistakes::are_errors);

// The `daemon:` section alone, whatever else is wrong with the file: for a client that looks for
// the daemon's socket. Throws UnreadableFile; ConfigError where it is no YAML.
Daemon load_daemon(const std::filesystem::path& file,
                   const Environment& environment = process_environment());

// The same from text, as if it were the content of `file` (which need not exist).
Config load_text(std::string_view text, const std::filesystem::path& file,
                 const Environment& environment = process_environment());

// The configuration of `appserverd --plugin P --listen L...`: one group, named by the plugin file's
// stem; every other value is the default, relative to `directory`. Throws ConfigError, naming the
// option.
Config single_plugin(const std::filesystem::path& plugin, const std::vector<std::string>& listen,
                     std::uint32_t count, const std::filesystem::path& directory);

// The effective configuration as YAML that load_text reads back to the same values, unless it is
// over the 1 MiB that a file may have. Groups that were dropped into the plugin folder are marked
// by a comment, and have to be taken out where that is still watched.
std::string dump(const Config& config);

}  // namespace appserver::config

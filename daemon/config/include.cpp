#include "config/include.hpp"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "config/paths.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::size_t kMaxFiles = 1000;

bool is_pattern(std::string_view text) {
  return text.find_first_of("*?[\\") != std::string_view::npos;
}

// The folder stands for itself, whatever letters are in it.
std::string escaped(std::string_view folder) {
  std::string result;
  for (const char c : folder) {
    if (is_pattern({&c, 1})) result += '\\';
    result += c;
  }
  return result;
}

struct GlobFree {
  void operator()(glob_t* matches) const {
    ::globfree(matches);
    delete matches;
  }
};

// A pattern below a folder that is not there matches nothing; one that may not be read is an error.
int is_fatal(const char* /*folder*/, int error) { return error != ENOENT && error != ENOTDIR; }

// Absolute paths by name; nullopt if a folder could not be read.
std::optional<std::vector<std::string>> matches_of(std::string_view pattern,
                                                   const std::filesystem::path& folder) {
  const std::string full = pattern.starts_with('/')
                               ? std::string(pattern)
                               : fmt::format("{}/{}", escaped(folder.native()), pattern);
  // Owned before the call: glob(3) leaves what it has when it fails.
  const std::unique_ptr<glob_t, GlobFree> matches(new glob_t{});
  const int result = ::glob(full.c_str(), GLOB_NOSORT, is_fatal, matches.get());
  if (result != 0 && result != GLOB_NOMATCH) return std::nullopt;
  std::vector<std::string> paths(matches->gl_pathv, matches->gl_pathv + matches->gl_pathc);
  std::ranges::sort(paths);  // not by the locale, as GLOB's own order is
  return paths;
}

class Collector {
 public:
  Collector(const Section& top, const std::filesystem::path& self)
      : scope_(top.scope()), path_(top.path_of("include")), self_(self) {}

  void add(const Node& node) {
    const std::string* const text =
        scope_.scalar(node, path_, "a file or a pattern such as conf.d/*.yaml");
    if (text == nullptr) return;
    const auto pattern = TextRule{"a file or a pattern such as conf.d/*.yaml"}.parse(*text);
    if (!pattern) return scope_.complain(node, path_ + ": " + pattern.problem());
    if (is_pattern(*text)) return add_matches(node, *text);
    const std::filesystem::path path = absolute_path(*text, scope_.document.folder);
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      const std::string why = error ? error.message() : "No such file or directory";
      return scope_.complain(node, fmt::format("{}: {}: {}", path_, in_quotes(*text), why));
    }
    if (path == self_) return scope_.complain(node, path_ + ": the file includes itself");
    add_file(node, path);
  }

  std::vector<IncludedFile> take() { return std::move(files_); }

 private:
  void add_matches(const Node& node, const std::string& pattern) {
    const auto paths = matches_of(pattern, scope_.document.folder);
    if (!paths) {
      return scope_.complain(
          node, fmt::format("{}: {}: a folder cannot be read", path_, in_quotes(pattern)));
    }
    for (const std::string& match : *paths) {
      const std::filesystem::path path = std::filesystem::path(match).lexically_normal();
      if (path != self_) add_file(node, path);
    }
  }

  void add_file(const Node& node, const std::filesystem::path& path) {
    if (!seen_.insert(path).second) return;
    if (seen_.size() == kMaxFiles + 1) {
      scope_.complain(node, fmt::format("{}: more than {} files", path_, kMaxFiles));
    }
    if (seen_.size() > kMaxFiles) return;
    files_.push_back({path, name_beside(scope_.document.name, scope_.document.folder, path)});
  }

  Scope scope_;
  std::string path_;
  std::filesystem::path self_;
  std::set<std::filesystem::path> seen_;
  std::vector<IncludedFile> files_;
};

}  // namespace

std::vector<IncludedFile> included_files(const Section& top, const std::filesystem::path& self) {
  const Entry* const entry = top.find("include");
  if (entry == nullptr || entry->value->kind == NodeKind::null) return {};
  Collector collector(top, self);
  if (entry->value->kind == NodeKind::sequence) {
    for (const NodePtr& item : entry->value->items) collector.add(*item);
  } else {
    collector.add(*entry->value);
  }
  return collector.take();
}

}  // namespace appserver::config

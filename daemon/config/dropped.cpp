#include "config/dropped.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include "config/paths.hpp"
#include "config/source.hpp"

namespace appserver::config {

namespace {

constexpr std::size_t kMaxEntries = 65'536;

Place place_of_folder(const Section& top) {
  const Document& document = top.scope().document;
  const Entry* entry = top.find("daemon");
  if (entry != nullptr) entry = find_entry(*entry->value, "plugins");
  if (entry != nullptr) entry = find_entry(*entry->value, "dir");
  return entry != nullptr ? document.at(*entry->value) : Place{document.name, 0, 0};
}

// The names of the pairs, sorted; what is wrong with the folder goes to `problem`.
std::vector<std::string> pairs_in(const std::filesystem::path& folder, std::string& problem) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  std::set<std::string> plugins;
  std::set<std::string> descriptions;
  std::size_t count = 0;
  while (!error && entry != std::filesystem::directory_iterator()) {
    if (++count > kMaxEntries) {
      problem =
          fmt::format("has more than {} files; keep what is no plugin elsewhere", kMaxEntries);
      return {};
    }
    const std::filesystem::path name = entry->path().filename();
    const bool hidden = name.native().starts_with('.');
    if (!hidden && name.extension() == ".so") plugins.insert(name.stem());
    if (!hidden && name.extension() == ".yaml") descriptions.insert(name.stem());
    entry.increment(error);
  }
  if (error) {
    problem = fmt::format("cannot be read: {}", error.message());
    return {};
  }
  std::vector<std::string> pairs;
  std::ranges::set_intersection(plugins, descriptions, std::back_inserter(pairs));
  return pairs;
}

}  // namespace

void read_dropped(const Section& top, const std::filesystem::path& folder,
                  const std::filesystem::path& self, const Environment& environment,
                  std::vector<GroupSource>& groups) {
  const Document& main = top.scope().document;
  Problems& problems = top.scope().problems;
  std::string problem;
  const std::vector<std::string> names = pairs_in(folder, problem);
  if (!problem.empty()) {
    problems.add(place_of_folder(top),
                 fmt::format("daemon.plugins.dir: {} {}", folder.native(), problem));
  }
  for (const std::string& name : names) {
    const std::filesystem::path file = folder / (name + ".yaml");
    if (file == self) continue;
    Document document{name_beside(main.name, main.folder, file), folder, nullptr};
    const auto text = read_source(file, document.name, problems);
    if (!text) continue;
    parse_tree(*text, environment, document, problems);
    if (!document.root) continue;
    const Entry entry{name, 0, 0, document.root};
    if (!add_group(Scope{document, problems}, entry, {folder, true}, groups)) return;
  }
}

}  // namespace appserver::config

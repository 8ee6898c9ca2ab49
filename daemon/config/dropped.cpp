#include "config/dropped.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "config/paths.hpp"
#include "config/source.hpp"

namespace appserver::config {

namespace {

constexpr std::size_t kMaxEntries = 65'536;
// Files that are read although those before them had mistakes.
constexpr std::size_t kMaxMistakes = 1024;

Place place_of_folder(const Section& top) {
  const Document& document = top.scope().document;
  const Entry* entry = top.find("daemon");
  if (entry != nullptr) entry = find_entry(*entry->value, "plugins");
  if (entry != nullptr) entry = find_entry(*entry->value, "dir");
  return entry != nullptr ? document.at(*entry->value) : Place{document.name, 0, 0};
}

struct Names {
  std::set<std::string> plugins;
  std::set<std::string> descriptions;
  bool missing = false;
  std::string problem;  // with the folder; then there are no names
};

Names names_in(const std::filesystem::path& folder, const std::filesystem::path& self) {
  Names names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  while (!error && entry != std::filesystem::directory_iterator()) {
    if (names.plugins.size() + names.descriptions.size() > kMaxEntries) {
      Names none;
      none.problem = fmt::format("has more than {} plugins and descriptions; move some elsewhere",
                                 kMaxEntries);
      return none;
    }
    const std::filesystem::path name = entry->path().filename();
    const bool hidden = name.native().starts_with('.');
    if (!hidden && name.extension() == ".so") names.plugins.insert(name.stem());
    if (!hidden && name.extension() == ".yaml" && folder / name != self)
      names.descriptions.insert(name.stem());
    entry.increment(error);
  }
  if (!error) return names;
  Names none;
  none.missing = error == std::errc::no_such_file_or_directory;
  none.problem =
      none.missing ? std::string("is missing") : fmt::format("cannot be read: {}", error.message());
  return none;
}

// Reads one pair; false after the problem that there are too many groups.
bool read_pair(const Document& beside, const std::string& name, const Environment& environment,
               std::vector<GroupSource>& groups, Problems& problems) {
  const std::filesystem::path& folder = beside.folder;
  const std::filesystem::path file = folder / (name + ".yaml");
  Document document{beside.name, folder, nullptr};
  const auto text = read_source(file, document.name, problems);
  if (!text) return true;
  parse_tree(*text, environment, document, problems);
  if (!document.root) return true;
  const Entry entry{name, 0, 0, document.root};
  const std::size_t before = groups.size();
  const bool added = add_group(Scope{document, problems}, entry, {folder, true}, groups);
  if (groups.size() > before) groups.back().group.dropped = true;
  return added;
}

}  // namespace

void read_dropped(const Section& top, const std::filesystem::path& folder,
                  const std::filesystem::path& self, const Environment& environment,
                  const DroppedInto& into) {
  const Document& main = top.scope().document;
  Problems& problems = top.scope().problems;
  const bool strict = into.mistakes == DroppedMistakes::are_errors;
  const Names names = names_in(folder, self);
  if (!names.problem.empty()) {
    if (strict && !names.missing) {
      problems.add(place_of_folder(top),
                   fmt::format("daemon.plugins.dir: {} {}", folder.native(), names.problem));
    }
    into.left_out.folder = names.problem;
  }
  for (const std::string& name : names.descriptions) {
    if (!names.plugins.contains(name)) {
      into.left_out.without_plugin.push_back(name);
      continue;
    }
    const Document document{name_beside(main.name, main.folder, folder / (name + ".yaml")), folder,
                            nullptr};
    if (into.left_out.mistakes.size() >= kMaxMistakes) {
      into.left_out.mistakes.push_back(
          {name, document.name + ": not read, for all the files with mistakes before it"});
      continue;
    }
    Problems own;
    const std::size_t before = into.groups.size();
    const bool fits = read_pair(document, name, environment, into.groups, strict ? problems : own);
    if (strict && !fits) return;
    if (own.empty() && into.groups.size() > before)
      into.addresses.add(into.groups.back(), strict ? problems : own);
    if (own.empty()) continue;
    into.groups.resize(before);
    into.left_out.mistakes.push_back({name, own.summary()});
  }
}

}  // namespace appserver::config

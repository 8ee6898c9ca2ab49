#include "config/load.hpp"

#include <array>
#include <utility>

#include "config/dropped.hpp"
#include "config/include.hpp"
#include "config/paths.hpp"
#include "config/problems.hpp"
#include "config/readers.hpp"
#include "config/section.hpp"
#include "config/source.hpp"
#include "config/tree.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 3> kTopKeys = {"daemon", "groups", "include"};
constexpr std::array<std::string_view, 1> kIncludedKeys = {"groups"};

void read_included(const IncludedFile& file, const Environment& environment,
                   const std::filesystem::path& plugin_dir, std::vector<GroupSource>& groups,
                   Problems& problems) {
  const auto text = read_source(file.path, file.name, problems);
  if (!text) return;
  Document document{file.name, folder_of(file.path), nullptr};
  parse_tree(*text, environment, document, problems);
  if (!document.root) return;
  // Only the main file speaks of the daemon and of further files: what is in force has one place.
  const Section top(Scope{document, problems}, document.root, "", kIncludedKeys);
  read_groups(top, plugin_dir, groups);
}

Config load(std::string_view text, const std::filesystem::path& file,
            const Environment& environment, DroppedMistakes mistakes) {
  Problems problems;
  Config config;
  Document document{file.empty() ? "configuration" : file.native(), folder_of(file), nullptr};
  if (!file.empty()) config.file = absolute_path(file.filename().native(), document.folder);
  parse_tree(text, environment, document, problems);
  if (!document.root) problems.throw_if_any();

  const Section top(Scope{document, problems}, document.root, "", kTopKeys);
  config.daemon = read_daemon(top);
  const Plugins& plugins = config.daemon.plugins;
  std::vector<GroupSource> groups;
  read_groups(top, plugins.dir, groups);
  for (const IncludedFile& included : included_files(top, config.file)) {
    read_included(included, environment, plugins.dir, groups, problems);
  }
  Addresses addresses(config.daemon);
  for (const GroupSource& source : groups) addresses.add(source, problems);
  if (plugins.watch) {
    read_dropped(top, plugins.dir, config.file, environment,
                 {groups, addresses, config.left_out, mistakes});
  }
  if (groups.empty() && !plugins.watch && problems.empty()) {
    problems.add({document.name, 0, 0},
                 "no groups; add at least one, such as groups: {api: {plugin: hello}}");
  }
  check_gateways(groups, problems);
  problems.throw_if_any();
  config.groups.reserve(groups.size());
  for (GroupSource& source : groups) config.groups.push_back(std::move(source.group));
  return config;
}

}  // namespace

Config load_file(const std::filesystem::path& file, const Environment& environment,
                 DroppedMistakes mistakes) {
  Problems problems;
  const auto text = read_source(file, file.native(), problems);
  problems.throw_if_any();
  return load(*text, file, environment, mistakes);
}

Daemon load_daemon(const std::filesystem::path& file, const Environment& environment) {
  Problems problems;
  const auto text = read_source(file, file.native(), problems);
  if (!text) throw UnreadableFile(problems.sorted());
  Document document{file.native(), folder_of(file), nullptr};
  parse_tree(*text, environment, document, problems);
  if (!document.root) problems.throw_if_any();
  // The groups' mistakes are somebody else's; those of this section would lead to another socket.
  Problems own;
  Daemon daemon = read_daemon(Section(Scope{document, own}, document.root, "", kTopKeys));
  own.throw_if_any();
  return daemon;
}

Config load_text(std::string_view text, const std::filesystem::path& file,
                 const Environment& environment) {
  return load(text, file, environment, DroppedMistakes::are_errors);
}

}  // namespace appserver::config

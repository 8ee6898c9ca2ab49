#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "config/listen.hpp"
#include "config/paths.hpp"
#include "config/readers.hpp"
#include "config/settings.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr auto kGroupKeys = std::to_array<std::string_view>({"plugin",
                                                             "kind",
                                                             "gateway",
                                                             "delivery",
                                                             "park",
                                                             "may_push",
                                                             "link",
                                                             "tls",
                                                             "listen",
                                                             "count",
                                                             "reloadable",
                                                             "settings",
                                                             "reload",
                                                             "limits",
                                                             "user",
                                                             "group",
                                                             "recycle",
                                                             "nice",
                                                             "cpu_affinity",
                                                             "hang_timeout",
                                                             "rlimits",
                                                             "environment",
                                                             "working_directory",
                                                             "proxy_protocol",
                                                             "proxy_protocol_from",
                                                             "compress"});
constexpr std::array<std::string_view, 11> kLimitsKeys = {
    "max_connections", "max_body",    "header_timeout", "idle_timeout",
    "max_message",     "send_buffer", "send_timeout",   "stream_idle_timeout",
    "ping_interval",   "ping_limit",  "ping_data"};
constexpr std::size_t kMaxGroups = 1024;

// A name is a file of the plugin folder; anything that looks like a path is one.
void read_plugin(const Section& section, const std::filesystem::path& folder, Group& group) {
  std::string text;
  if (!section.read("plugin", TextRule{"the name or path of a plugin"}, text)) return;
  if (text.find('/') != std::string::npos || text.ends_with(".so")) {
    read_path(section, "plugin", group.plugin);
  } else if (text.starts_with('.')) {
    section.scope().complain(*section.find("plugin")->value,
                             section.path_of("plugin") + ": " +
                                 wrong_value("the name or path of a plugin", text).problem);
  } else {
    group.plugin = folder / (text + ".so");
  }
}

void take_plugin_beside(const Section& section, const std::filesystem::path& folder, Group& group) {
  group.plugin = folder / (group.name + ".so");
  const Entry* const given = section.find("plugin");
  if (given == nullptr) return;
  section.scope().complain(*given, fmt::format("{}: the plugin is {}.so beside this file; leave "
                                               "'plugin' out",
                                               section.path_of("plugin"), group.name));
}

void read_or_take_plugin(const Section& section, const Entry& entry, const PluginPlace& plugin,
                         Group& group) {
  if (group.kind == GroupKind::gateway) return;
  if (plugin.beside) return take_plugin_beside(section, plugin.folder, group);
  const bool is_mapping = entry.value->kind == NodeKind::map || entry.value->kind == NodeKind::null;
  if (is_mapping && section.find("plugin") == nullptr) {
    section.scope().complain(entry, section.path() + ": 'plugin' is missing; add plugin: NAME");
  }
  read_plugin(section, plugin.folder, group);
}

void read_address(const Scope& scope, const Node& node, const std::string& path,
                  GroupSource& source) {
  const std::string* const text =
      scope.scalar(node, path, "an address such as http://127.0.0.1:8080");
  if (text == nullptr) return;
  const auto listen = parse_listen(*text, scope.document.folder);
  if (!listen) return scope.complain(node, path + ": " + listen.problem());
  source.group.listen.push_back(*listen);
  source.listen_places.push_back(scope.document.at(node));
}

void read_listen(const Section& section, GroupSource& source) {
  const Entry* const entry = section.find("listen");
  if (entry == nullptr) return;
  const std::string path = section.path_of("listen");
  if (entry->value->kind != NodeKind::sequence) {
    return read_address(section.scope(), *entry->value, path, source);
  }
  for (std::size_t i = 0; i < entry->value->items.size(); ++i) {
    read_address(section.scope(), *entry->value->items[i], fmt::format("{}[{}]", path, i), source);
  }
}

void read_limits(const Section& section, Limits& limits) {
  constexpr auto kMax = std::numeric_limits<std::uint32_t>::max();
  section.read("max_connections", IntegerRule{1, kMax}, limits.max_connections);
  section.read("max_body", SizeRule{{}, kMostMemory}, limits.max_body);
  section.read("header_timeout", DurationRule{kShortestWait}, limits.header_timeout);
  section.read("idle_timeout", DurationRule{kShortestWait}, limits.idle_timeout);
  // Without room for a byte nothing would ever be delivered, or sent.
  section.read("max_message", SizeRule{Bytes{1}, kMostMessage}, limits.max_message);
  section.read("send_buffer", SizeRule{Bytes{1}, kMostMessage}, limits.send_buffer);
  section.read("send_timeout", DurationRule{kShortestWait}, limits.send_timeout);
  section.read("stream_idle_timeout", DurationRule{}, limits.stream_idle_timeout);
  section.read("ping_interval", DurationRule{}, limits.ping_interval);
}

// nullopt after a problem: what depends on it is not checked.
std::optional<std::uint32_t> read_count(const Section& section, Group& group) {
  if (section.find("count") == nullptr) return group.count;
  if (!section.read("count", CountRule{}, group.count)) return std::nullopt;
  return group.count;
}

void check_probe(const Section& section, const Group& group) {
  if (group.reload.probe.empty() || group.listen.empty()) return;
  if (std::ranges::any_of(group.listen, &Listen::is_http)) return;
  const Entry* const reload = section.find("reload");
  if (reload == nullptr) return;
  section.scope().complain(*reload, fmt::format("{}: a probe is an HTTP request, and the group "
                                                "listens on no http:// or https:// address",
                                                section.path_of("reload.probe")));
}

GroupSource read_group(const Scope& scope, const Entry& entry, const PluginPlace& plugin) {
  GroupSource source;
  source.place = scope.document.at(entry);
  Group& group = source.group;
  group.name = entry.key;
  const Section section(scope, entry.value, "groups." + entry.key, kGroupKeys);
  read_kind(section, group);
  read_or_take_plugin(section, entry, plugin, group);
  read_listen(section, source);
  const auto count = read_count(section, group);
  section.read("reloadable", BooleanRule{}, group.reloadable);
  if (const Entry* const settings = section.find("settings")) {
    group.settings = settings_json(scope, *settings->value, section.path_of("settings"));
  }
  read_reload(section, count, group.reload);
  check_probe(section, group);
  const Section limits = section.section("limits", kLimitsKeys);
  read_limits(limits, group.limits);
  read_gateway(section, entry, limits, group);
  read_compress(section, group);
  read_recycle(section, group.recycle);
  read_hang_timeout(section, group.hang_timeout);
  read_tls(section, entry, group);
  if (group.kind == GroupKind::gateway) read_link(section, source);
  read_proxy_protocol(section, source, group.proxy_protocol);
  read_process(section, group);
  return source;
}

void check_name(const Scope& scope, const Entry& entry, const std::vector<GroupSource>& groups) {
  if (!is_group_name(entry.key)) {
    scope.complain(entry, fmt::format("{} is not a name for a group; it has 1 to 32 of a-z, 0-9, "
                                      "'_' and '-', and begins with a letter",
                                      in_quotes(entry.key)));
  }
  if (is_reserved_name(entry.key)) {
    scope.complain(entry, fmt::format("a group cannot be called '{0}': appserverctl reload {0} "
                                      "means something else; choose another name",
                                      entry.key));
  }
  // Within one file the tree has refused it already.
  const auto first = std::ranges::find(groups, entry.key, [](const GroupSource& known) {
    return std::string_view(known.group.name);
  });
  if (first != groups.end()) {
    scope.complain(entry, fmt::format("group {} is defined twice; first at {}",
                                      in_quotes(entry.key), to_string(first->place)));
  }
}

}  // namespace

bool add_group(const Scope& scope, const Entry& entry, const PluginPlace& plugin,
               std::vector<GroupSource>& groups) {
  if (groups.size() >= kMaxGroups) {
    scope.complain(entry, fmt::format("more than {} groups", kMaxGroups));
    return false;
  }
  check_name(scope, entry, groups);
  groups.push_back(read_group(scope, entry, plugin));
  return true;
}

void read_groups(const Section& top, const std::filesystem::path& plugin_dir,
                 std::vector<GroupSource>& groups) {
  const Entry* const entry = top.find("groups");
  if (entry == nullptr) return;
  const Scope& scope = top.scope();
  const Node& node = *entry->value;
  if (node.kind == NodeKind::null) return;
  if (node.kind != NodeKind::map) {
    return scope.wrong_kind(node, "groups", "a mapping of names to groups");
  }
  for (const Entry& group : node.entries) {
    if (!add_group(scope, group, {plugin_dir, false}, groups)) return;
  }
}

}  // namespace appserver::config

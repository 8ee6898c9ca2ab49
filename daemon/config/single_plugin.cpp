#include <fmt/format.h>

#include "config/listen.hpp"
#include "config/load.hpp"
#include "config/paths.hpp"
#include "config/problems.hpp"
#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::size_t kMaxName = 32;

// "My Plugin.so" is group "my-plugin".
std::string group_name_of(const std::filesystem::path& plugin) {
  const std::string stem = plugin.stem().native();
  std::string name;
  for (char c : stem) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const std::string letter(1, c);
    name += is_group_name("a" + letter) ? letter : "-";
  }
  if (!is_group_name(name.substr(0, 1)) || is_reserved_name(name)) name.insert(0, "plugin-");
  return name.substr(0, kMaxName);
}

}  // namespace

Config single_plugin(const std::filesystem::path& plugin, const std::vector<std::string>& listen,
                     std::uint32_t count, const std::filesystem::path& directory) {
  Problems problems;
  Config config;
  const std::filesystem::path folder = folder_of(directory / "app.yaml");
  config.daemon = default_daemon(folder);
  if (const auto problem = unix_path_problem(config.daemon.control_socket); !problem.empty()) {
    problems.add({"--plugin", 0, 0},
                 "the control socket: " + problem + ", in a file for --config, or run elsewhere");
  }

  GroupSource source;
  source.place = {"--plugin", 0, 0};
  source.group.name = group_name_of(plugin);
  if (plugin.has_filename()) {
    source.group.plugin = absolute_path(plugin.native(), folder);
  } else {
    problems.add(source.place,
                 wrong_value("the path of a plugin such as ./hello.so", plugin.native()).problem);
  }
  if (count < 1 || count > kMaxWorkers) {
    problems.add({"--count", 0, 0},
                 wrong_value(CountRule{}.expected(), std::to_string(count)).problem);
  }
  source.group.count = count;
  for (const std::string& text : listen) {
    const auto address = parse_listen(text, folder);
    if (!address) {
      problems.add({"--listen", 0, 0}, address.problem());
      continue;
    }
    source.group.listen.push_back(*address);
    source.listen_places.push_back({"--listen", 0, 0});
  }
  Addresses(config.daemon).add(source, problems);
  problems.throw_if_any();
  config.groups.push_back(std::move(source.group));
  return config;
}

}  // namespace appserver::config

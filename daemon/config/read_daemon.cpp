#include <array>
#include <string_view>

#include "config/listen.hpp"
#include "config/paths.hpp"
#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 5> kDaemonKeys = {"control", "state_dir", "plugins", "bus",
                                                         "log"};
constexpr std::array<Moved, 1> kMovedKeys = {{{"plugin_dir", "daemon.plugins.dir"}}};
constexpr std::array<std::string_view, 1> kControlKeys = {"socket"};
constexpr std::array<std::string_view, 3> kPluginsKeys = {"dir", "keep", "watch"};
constexpr std::array<std::string_view, 1> kBusKeys = {"memory"};
constexpr std::array<std::string_view, 2> kLogKeys = {"level", "format"};

void read_plugins(const Section& section, Plugins& plugins) {
  read_path(section, "dir", plugins.dir);
  section.read("keep", IntegerRule{1, 1000}, plugins.keep);
  section.read("watch", BooleanRule{}, plugins.watch);
}

}  // namespace

Daemon default_daemon(const std::filesystem::path& folder) {
  Daemon daemon;
  daemon.control_socket = folder / "run/appserverd.sock";
  daemon.state_dir = folder / "state";
  daemon.plugins.dir = folder / "plugins";
  return daemon;
}

bool read_path(const Section& section, std::string_view key, std::filesystem::path& path) {
  std::string text;
  if (!section.read(key, TextRule{"a path"}, text)) return false;
  if (text.starts_with("~/")) {
    section.scope().complain(*section.find(key)->value,
                             section.path_of(key) + ": '~' is not expanded; write ${HOME}/...");
    return false;
  }
  path = absolute_path(text, section.scope().document.folder);
  return true;
}

Daemon read_daemon(const Section& top) {
  Daemon daemon = default_daemon(top.scope().document.folder);
  const Section section = top.section("daemon", kDaemonKeys, kMovedKeys);
  read_path(section, "state_dir", daemon.state_dir);
  read_plugins(section.section("plugins", kPluginsKeys), daemon.plugins);

  const Section control = section.section("control", kControlKeys);
  const bool given = read_path(control, "socket", daemon.control_socket);
  if (const auto problem = unix_path_problem(daemon.control_socket); !problem.empty()) {
    const Place file{top.scope().document.name, 0, 0};
    top.scope().problems.add(given ? top.scope().document.at(*control.find("socket")->value) : file,
                             "daemon.control.socket: " + problem);
  }

  section.section("bus", kBusKeys)
      .read("memory", SizeRule{kLeastBusMemory, kMostMemory}, daemon.bus.memory);

  const Section log = section.section("log", kLogKeys);
  log.read("level", LogLevelRule{}, daemon.log.level);
  log.read("format", LogFormatRule{}, daemon.log.format);
  return daemon;
}

}  // namespace appserver::config

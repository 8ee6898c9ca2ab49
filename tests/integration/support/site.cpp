#include "support/site.hpp"

namespace appserver::integration {

namespace fs = std::filesystem;

fs::path probe_v1() { return fs::path(APPSERVER_TEST_PLUGINS) / "v1/probe.so"; }
fs::path probe_v2() { return fs::path(APPSERVER_TEST_PLUGINS) / "v2/probe.so"; }
fs::path fixture(const std::string& name) { return fs::path(APPSERVER_FIXTURES) / (name + ".so"); }
fs::path shipped_plugin(const std::string& name) {
  return fs::path(APPSERVER_PLUGINS) / (name + ".so");
}

Site::Site(std::string_view groups_yaml) {
  fs::create_directory(root() / "plugins");
  install(probe_v1());
  configure(groups_yaml);
}

fs::path Site::plugin(const std::string& name) const { return root() / "plugins" / (name + ".so"); }

void Site::configure(std::string_view groups_yaml) {
  std::string text =
      "daemon:\n"
      "  control: {socket: run/appserverd.sock}\n"
      "  state_dir: state\n"
      "  plugins: {dir: plugins}\n"
      "  log: {level: info, format: text}\n";
  write_file(config_file(), text.append(groups_yaml));
}

void Site::install(const fs::path& build, const std::string& name) {
  write_file(plugin(name), read_whole(build));
}

void Site::copy_over(const fs::path& build, const std::string& name) {
  overwrite_in_place(plugin(name), read_whole(build));
}

std::string probe_group(int count, std::string_view more) {
  std::string text =
      "groups:\n"
      "  api:\n"
      "    plugin: probe\n"
      "    listen: http://127.0.0.1:0\n"
      "    count: ";
  return text.append(std::to_string(count)).append("\n").append(more);
}

}  // namespace appserver::integration

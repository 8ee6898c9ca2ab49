// Where a daemon of a test lives: its configuration, plugin folder, state and control socket.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "support/scratch_dir.hpp"

namespace appserver::integration {

// Plugins that the build made. All take the name "probe" unless said otherwise.
std::filesystem::path probe_v1();
std::filesystem::path probe_v2();
std::filesystem::path fixture(const std::string& name);         // tests/fixtures/plugins
std::filesystem::path shipped_plugin(const std::string& name);  // plugins/

class Site {
 public:
  // A configuration with these groups (YAML, from "groups:" on) and the daemon's folders within the
  // site; the first build of the probe plugin is installed as "probe".
  explicit Site(std::string_view groups_yaml);

  const std::filesystem::path& root() const { return dir_.path(); }
  std::filesystem::path config_file() const { return root() / "app.yaml"; }
  std::filesystem::path control_socket() const { return root() / "run/appserverd.sock"; }
  std::filesystem::path state_dir() const { return root() / "state"; }
  std::filesystem::path plugin(const std::string& name = "probe") const;

  void configure(std::string_view groups_yaml);

  // Puts a build in place of what is there, by rename: as a deployment should.
  void install(const std::filesystem::path& build, const std::string& name = "probe");
  // Writes it into the file that is there: as `cp` does.
  void copy_over(const std::filesystem::path& build, const std::string& name = "probe");

 private:
  ScratchDir dir_;
};

// A line of YAML groups with one group "api" of the probe plugin on any free port of 127.0.0.1.
// `more` are further lines of the group, each indented by four.
std::string probe_group(int count, std::string_view more = {});

}  // namespace appserver::integration

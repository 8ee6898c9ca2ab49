#include "supervisor/builds.hpp"

#include <fcntl.h>

#include "os/fd.hpp"
#include "os/write_file.hpp"
#include "plugin/sha256.hpp"
#include "supervisor/trusted_folder.hpp"

namespace appserver::supervisor {
namespace {

// What runs, whatever lies at its path by now.
plugin::Build make_own_build() {
  plugin::Build build;
  build.sha256 = plugin::sha256(os::open_file("/proc/self/exe", O_RDONLY).get());
  build.name = "gateway";
  build.version = APPSERVER_VERSION;
  return build;
}

const plugin::Build& own_build() {
  static const plugin::Build kBuild = make_own_build();
  return kBuild;
}

}  // namespace

plugin::Build take_in_build(const config::Group& group, const config::Plugins& plugins,
                            plugin::Store& store) {
  if (group.kind == config::GroupKind::gateway) return own_build();
  check_source(group, plugins);
  return store.add(group.plugin);
}

bool has_build(const config::Group& group, const plugin::Build& build, const plugin::Store& store) {
  if (group.kind == config::GroupKind::gateway) return build.sha256 == own_build().sha256;
  return store.holds(build);
}

bool is_stored(const plugin::Build& build) { return !build.file.empty(); }

}  // namespace appserver::supervisor

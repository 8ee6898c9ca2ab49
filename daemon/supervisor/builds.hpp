// Where the build of a group comes from: the file of its plugin, or, of a gateway, this program.
#pragma once

#include "config/config.hpp"
#include "plugin/build.hpp"
#include "plugin/store.hpp"

namespace appserver::supervisor {

// As plugin::Store::add() of the group's plugin. Throws, with the way out, where others could have
// put it into a plugin folder that is watched.
plugin::Build take_in_build(const config::Group& group, const config::Plugins& plugins,
                            plugin::Store& store);

// As plugin::Store::holds(). What this program is, is always at hand.
bool has_build(const config::Group& group, const plugin::Build& build, const plugin::Store& store);

// Whether a file of the store belongs to it.
bool is_stored(const plugin::Build& build);

}  // namespace appserver::supervisor

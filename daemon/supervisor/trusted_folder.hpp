// Who could put something into the plugin folder: what stands there is run.
#pragma once

#include <filesystem>

#include "config/config.hpp"

namespace appserver::supervisor {

// Throws std::runtime_error, with the way out, where somebody else than this user or root may write
// to the folder; os::SystemError where it cannot be looked at.
void check_trusted(const std::filesystem::path& folder);

// The same of a plugin folder that is watched and there.
void check_plugin_folder(const config::Plugins& plugins);

// The same where the group's plugin lies below it, and of the folders in between, of that file and
// of what says how it is dropped.
void check_source(const config::Group& group, const config::Plugins& plugins);

}  // namespace appserver::supervisor

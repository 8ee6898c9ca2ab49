// What a worker shows at the other end of a link to another daemon, from what the supervisor has
// read.
#pragma once

#include "config/config.hpp"
#include "gateway/link_keys.hpp"
#include "os/fd.hpp"

namespace appserver::worker {

// `file`: a certificates::Material in a sealed memory file. Throws std::exception where it does not
// serve. What could not be read is empty or null in the result.
gateway::LinkKeysPtr make_link_keys(const config::Group& group, const os::Fd& file);

}  // namespace appserver::worker

// Groups of the plugin folder at a start: they run as they were committed, and nothing that lies in
// the folder by now can keep the daemon from that. The watcher looks at the folder once the daemon
// is up, with every gate of a rollout.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "supervisor/release.hpp"

namespace appserver::supervisor {

bool has_dropped(const Release& release);

// A group of `groups` that listens where `group` does; null: there is none.
const config::Group* find_rival(const std::vector<config::Group>& groups,
                                const config::Group& group);

// `config` with the dropped groups of the committed release in place of its own; none where the
// folder is not watched. Where the file has the name of one by now, or an address (then with a
// note), the file counts.
config::Config with_committed_drops(const config::Config& config, const Release& committed,
                                    std::vector<std::string>& notes);

}  // namespace appserver::supervisor

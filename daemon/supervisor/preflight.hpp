// Loads a build in a throw-away process, under the group's user and limits, before anything that
// runs is touched.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "supervisor/release.hpp"
#include "supervisor/worker_process.hpp"

namespace appserver::supervisor {

// `tls`: what its workers are to serve with; null without TLS. Calls `done` once, from the loop,
// with an empty reason where the plugin loads. The group's start_timeout bounds it. Throws where no
// process can be started.
std::shared_ptr<void> run_preflight(const SpawnContext& context, const GroupRelease& release,
                                    const TlsMaterialPtr& tls,
                                    std::function<void(const std::string& why_not)> done);

}  // namespace appserver::supervisor

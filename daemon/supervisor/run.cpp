#include "supervisor/run.hpp"

#include <sys/resource.h>

#include <csignal>

#include "os/error.hpp"
#include "supervisor/supervisor.hpp"

namespace appserver::supervisor {
namespace {

// The supervisor holds every listener and four descriptors a worker; workers get the boot limits
// back.
void raise_descriptor_limit() {
  rlimit files{};
  os::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit(nofile)");
  files.rlim_cur = files.rlim_max;
  os::check(::setrlimit(RLIMIT_NOFILE, &files), "setrlimit(nofile, {})", files.rlim_max);
}

}  // namespace

int run_supervisor(const config::Config& config, const os::BootState& boot_state,
                   const std::string& version) {
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);
  // Ignored, it would have the kernel reap our children before we learn how they ended.
  std::signal(SIGCHLD, SIG_DFL);
  Supervisor supervisor(config, boot_state, version);
  return supervisor.run();
}

}  // namespace appserver::supervisor

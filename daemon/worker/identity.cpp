#include "worker/identity.hpp"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "os/error.hpp"
#include "os/privileges.hpp"

namespace appserver::worker {
namespace {

__rlimit_resource_t find_resource(std::string_view name) {
  struct Entry {
    std::string_view name;
    __rlimit_resource_t resource;
  };
  static constexpr std::array<Entry, 9> kResources{{{"nofile", RLIMIT_NOFILE},
                                                    {"core", RLIMIT_CORE},
                                                    {"as", RLIMIT_AS},
                                                    {"nproc", RLIMIT_NPROC},
                                                    {"stack", RLIMIT_STACK},
                                                    {"data", RLIMIT_DATA},
                                                    {"fsize", RLIMIT_FSIZE},
                                                    {"cpu", RLIMIT_CPU},
                                                    {"memlock", RLIMIT_MEMLOCK}}};
  const auto* found = std::ranges::find(kResources, name, &Entry::name);
  if (found == kResources.end())
    throw std::runtime_error(fmt::format("rlimits.{} is not known", name));
  return found->resource;
}

void set_limits(const config::Group& group) {
  for (const auto& [name, limit] : group.rlimits) {
    const rlimit wanted{limit.soft.value_or(RLIM_INFINITY), limit.hard.value_or(RLIM_INFINITY)};
    os::check(::setrlimit(find_resource(name), &wanted), "setting rlimits.{}", name);
  }
  if (group.rlimits.contains("nofile")) return;
  rlimit files{};
  os::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit(nofile)");
  // Twice: while it takes over a predecessor's connections it may already have as many of its own.
  const rlim_t needed = 2 * rlim_t{group.limits.max_connections} + kOwnDescriptors;
  if (files.rlim_cur >= needed) return;
  files.rlim_cur = std::min(needed, files.rlim_max);
  os::check(::setrlimit(RLIMIT_NOFILE, &files), "setting rlimits.nofile to {}", files.rlim_cur);
}

void set_processors(const config::Group& group, std::uint32_t slot) {
  if (group.cpu_affinity.empty()) return;
  const int cpu = group.cpu_affinity[slot % group.cpu_affinity.size()];
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  os::check(::sched_setaffinity(0, sizeof(set), &set), "cpu_affinity: binding to processor {}",
            cpu);
}

void become_user(const config::Group& group) {
  if (group.user.empty() && group.group.empty()) return;
  if (group.user.empty()) throw std::runtime_error("`group` without `user`: name the user, too");
  os::become(os::find_identity(group.user, group.group));
}

}  // namespace

void bind_to_supervisor(pid_t supervisor) {
  os::check(::prctl(PR_SET_PDEATHSIG, SIGTERM), "prctl(PR_SET_PDEATHSIG)");
  if (::getppid() != supervisor) throw std::runtime_error("the supervisor is gone");
}

void take_on(const config::Group& group, std::uint32_t slot, pid_t supervisor) {
  set_limits(group);
  if (group.nice) os::check(::setpriority(PRIO_PROCESS, 0, *group.nice), "nice: {}", *group.nice);
  set_processors(group, slot);
  for (const auto& [name, value] : group.environment) {
    os::check(::setenv(name.c_str(), value.c_str(), 1), "environment: setting {}", name);
  }
  become_user(group);
  // setresuid(2) clears the parent-death signal.
  bind_to_supervisor(supervisor);
  os::forbid_new_privileges();
  // setresuid(2) also took the right to leave a core file, which the group asks for with its limit.
  if (group.rlimits.contains("core"))
    os::check(::prctl(PR_SET_DUMPABLE, 1), "prctl(PR_SET_DUMPABLE)");
  if (!group.working_directory.empty()) {
    os::check(::chdir(group.working_directory.c_str()), "working_directory: chdir(\"{}\")",
              group.working_directory.native());
  }
}

}  // namespace appserver::worker

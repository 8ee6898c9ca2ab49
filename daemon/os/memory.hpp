// How much memory there still is: /proc/meminfo and cgroup v2's memory.max (cgroups(7)).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace appserver::os {

// What this process and its children can still get without swapping: MemAvailable, or less where
// the cgroup or one above it has less left (reclaimable page cache counts as free). Nullopt where
// the kernel does not say.
std::optional<std::uint64_t> available_memory();

// The same with these roots in place of /proc and /sys/fs/cgroup.
std::optional<std::uint64_t> available_memory(const std::filesystem::path& proc,
                                              const std::filesystem::path& cgroups);

}  // namespace appserver::os

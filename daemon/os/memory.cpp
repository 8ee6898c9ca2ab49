#include "os/memory.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace appserver::os {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostText = std::size_t{64} << 10;

// Nullopt where there is no such file: which ones there are depends on the kernel and on what is
// mounted where.
std::optional<std::string> read_if_there(const fs::path& file) {
  try {
    return read_file(file, kMostText);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// The number at the start of `text`, after blanks.
std::optional<std::uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

// What follows `key` in the line that starts with it.
std::optional<std::string_view> value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key)) return line.substr(key.size());
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> system_left(const fs::path& proc) {
  const auto text = read_if_there(proc / "meminfo");
  if (!text) return std::nullopt;
  const auto value = value_of(*text, "MemAvailable:");
  const auto kilobytes = value ? leading_number(*value) : std::nullopt;
  if (!kilobytes) return std::nullopt;
  return *kilobytes * 1024;
}

// Page cache that the kernel drops before it calls the memory used up.
std::uint64_t reclaimable(const fs::path& cgroup) {
  const auto text = read_if_there(cgroup / "memory.stat");
  if (!text) return 0;
  std::uint64_t sum = 0;
  for (const std::string_view key : {"active_file ", "inactive_file "}) {
    const auto value = value_of(*text, key);
    sum += value ? leading_number(*value).value_or(0) : 0;
  }
  return sum;
}

// Nullopt where this cgroup sets no limit.
std::optional<std::uint64_t> cgroup_left(const fs::path& cgroup) {
  const auto limit_text = read_if_there(cgroup / "memory.max");
  const auto used_text = read_if_there(cgroup / "memory.current");
  if (!limit_text || !used_text) return std::nullopt;
  const auto limit = leading_number(*limit_text);  // none in "max"
  const auto used = leading_number(*used_text);
  if (!limit || !used) return std::nullopt;
  const std::uint64_t held = *used - std::min(*used, reclaimable(cgroup));
  return *limit - std::min(*limit, held);
}

// The path of the process below the root of cgroup v2; empty for the root itself, and where only v1
// is mounted, which is then asked for files that it does not have.
fs::path own_cgroup(const fs::path& proc) {
  const auto text = read_if_there(proc / "self/cgroup");
  const auto value = text ? value_of(*text, "0::/") : std::nullopt;
  if (!value) return {};
  fs::path path = fs::path(*value).relative_path().lexically_normal();
  // Seen from inside a cgroup namespace that the process was moved out of.
  if (!path.empty() && *path.begin() == "..") return {};
  return path;
}

}  // namespace

std::optional<std::uint64_t> available_memory() {
  return available_memory("/proc", "/sys/fs/cgroup");
}

std::optional<std::uint64_t> available_memory(const fs::path& proc, const fs::path& cgroups) {
  std::optional<std::uint64_t> least = system_left(proc);
  const auto take = [&](const fs::path& cgroup) {
    const auto left = cgroup_left(cgroup);
    if (left) least = least ? std::min(*least, *left) : *left;
  };
  for (fs::path path = own_cgroup(proc); !path.empty(); path = path.parent_path()) {
    take(cgroups / path);
  }
  take(cgroups);
  return least;
}

}  // namespace appserver::os

#include "os/procfs.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "os/fd.hpp"

namespace appserver::os {

std::uint64_t resident_bytes(pid_t pid) {
  std::string text;
  try {
    text = read_file(fmt::format("/proc/{}/statm", pid), 4096);
  } catch (const std::exception&) {
    return 0;
  }
  const std::size_t second = text.find(' ');
  if (second == std::string::npos) return 0;
  std::uint64_t pages = 0;
  std::from_chars(text.data() + second + 1, text.data() + text.size(), pages);
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace appserver::os

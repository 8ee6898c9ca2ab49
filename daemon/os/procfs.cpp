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

bool is_stopped(pid_t pid) {
  std::string text;
  try {
    text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  } catch (const std::exception&) {
    return false;
  }
  // The name in parentheses may hold anything, so the last one ends it.
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return false;
  const char state = text[name_end + 2];
  return state == 'T' || state == 't';
}

}  // namespace appserver::os

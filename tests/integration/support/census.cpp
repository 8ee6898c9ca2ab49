#include "support/census.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

#include "os/error.hpp"

namespace appserver::integration {

namespace fs = std::filesystem;

namespace {

std::string read_quietly(const fs::path& file) {
  std::ifstream stream(file);
  std::ostringstream content;
  content << stream.rdbuf();
  return content.str();
}

fs::path proc(pid_t pid) { return fs::path("/proc") / std::to_string(pid); }

std::optional<ProcessFacts> facts_of(pid_t pid) {
  const std::string stat = read_quietly(proc(pid) / "stat");
  // The name stands in parentheses and may hold some itself.
  const auto open = stat.find('(');
  const auto close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  ProcessFacts facts;
  facts.pid = pid;
  facts.name = stat.substr(open + 1, close - open - 1);
  std::istringstream rest(stat.substr(close + 1));
  rest >> facts.state >> facts.parent;
  return facts;
}

std::size_t entries(const fs::path& folder) {
  std::size_t count = 0;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    ++count;
  }
  return count;
}

void add_listening(const fs::path& table, std::uint16_t port, std::set<std::uint64_t>& inodes) {
  std::ifstream stream(table);
  std::string line;
  std::getline(stream, line);
  while (std::getline(stream, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues, timer, retransmits, user, timeout;
    std::uint64_t inode = 0;
    fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >>
        timeout >> inode;
    constexpr const char* kListen = "0A";
    if (state != kListen) continue;
    const auto hex = local.substr(local.rfind(':') + 1);
    if (std::stoul(hex, nullptr, 16) == port) inodes.insert(inode);
  }
}

}  // namespace

std::vector<ProcessFacts> all_processes() {
  std::vector<ProcessFacts> result;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    if (auto facts = facts_of(pid)) result.push_back(std::move(*facts));
  }
  return result;
}

std::vector<ProcessFacts> children_of(pid_t parent) {
  auto processes = all_processes();
  std::erase_if(processes, [&](const auto& process) { return process.parent != parent; });
  return processes;
}

std::vector<ProcessFacts> descendants_of(pid_t ancestor) {
  const auto processes = all_processes();
  std::set<pid_t> family{ancestor};
  std::vector<ProcessFacts> result;
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& process : processes) {
      if (!family.contains(process.parent) || !family.insert(process.pid).second) continue;
      result.push_back(process);
      grew = true;
    }
  }
  return result;
}

bool exists(pid_t pid) {
  const auto facts = facts_of(pid);
  return facts && facts->state != 'Z';
}

std::string Census::text() const {
  std::ostringstream text;
  text << fds << " fds, " << children << " children, " << zombies << " zombies, " << threads
       << " threads, " << resident_bytes / 1024 << " KiB resident";
  return text.str();
}

Census census_of(pid_t pid) {
  Census census;
  census.fds = entries(proc(pid) / "fd");
  census.threads = entries(proc(pid) / "task");
  for (const auto& child : children_of(pid)) {
    ++census.children;
    if (child.state == 'Z') ++census.zombies;
  }
  const std::string resident = status_field(pid, "VmRSS");
  if (!resident.empty()) census.resident_bytes = std::stoull(resident) * 1024;
  return census;
}

std::string descriptors_of(pid_t pid) {
  std::vector<std::string> targets;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(proc(pid) / "fd", error)) {
    std::error_code gone;
    targets.push_back(fs::read_symlink(entry.path(), gone).string());
  }
  std::sort(targets.begin(), targets.end());
  std::string text;
  for (const auto& target : targets) text += target + "\n";
  return text;
}

std::size_t files_under(const fs::path& folder) {
  std::size_t count = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    ++count;
  }
  return count;
}

std::string status_field(pid_t pid, const std::string& key) {
  std::istringstream lines(read_quietly(proc(pid) / "status"));
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.starts_with(key + ":")) continue;
    const auto value = line.find_first_not_of(" \t", key.size() + 1);
    return value == std::string::npos ? std::string() : line.substr(value);
  }
  return {};
}

std::set<std::uint64_t> listening_inodes(std::uint16_t port) {
  std::set<std::uint64_t> inodes;
  add_listening("/proc/net/tcp", port, inodes);
  add_listening("/proc/net/tcp6", port, inodes);
  return inodes;
}

void adopt_orphans() {
  os::check(::prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl(PR_SET_CHILD_SUBREAPER)");
}

void reap_orphans() {
  for (const auto& child : children_of(::getpid())) {
    if (child.state == 'Z') ::waitpid(child.pid, nullptr, WNOHANG);
  }
}

}  // namespace appserver::integration

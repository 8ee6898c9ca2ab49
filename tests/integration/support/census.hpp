// What a process holds, read from /proc: the counts that must be the same after a test as before
// it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace appserver::integration {

struct ProcessFacts {
  pid_t pid = 0;
  pid_t parent = 0;
  char state = '?';  // 'Z' is a zombie
  std::string name;
};

std::vector<ProcessFacts> all_processes();
std::vector<ProcessFacts> children_of(pid_t parent);
// Children, their children and so on.
std::vector<ProcessFacts> descendants_of(pid_t ancestor);
bool exists(pid_t pid);

struct Census {
  std::size_t fds = 0;
  std::size_t children = 0;
  std::size_t zombies = 0;
  std::size_t threads = 0;
  std::uint64_t resident_bytes = 0;
  std::string text() const;
};
Census census_of(pid_t pid);

// What each descriptor points to, sorted: for a message that names the leak.
std::string descriptors_of(pid_t pid);

std::size_t files_under(const std::filesystem::path& folder);

// Value of a "Key:\tvalue" line of /proc/PID/status; empty without one.
std::string status_field(pid_t pid, const std::string& key);

// Inodes of the TCP sockets that listen on this port, IPv4 and IPv6. An inode belongs to one
// socket, so that another process that takes the port later is not mistaken for it.
std::set<std::uint64_t> listening_inodes(std::uint16_t port);

// The test process becomes the one that orphans are given to, so that a worker that outlives its
// supervisor is found.
void adopt_orphans();
// Takes the exit status of dead orphans.
void reap_orphans();

}  // namespace appserver::integration

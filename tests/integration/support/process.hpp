// Child processes of a test: started, watched through a pidfd, and never left behind.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.hpp"
#include "support/deadline.hpp"

namespace appserver::integration {

// How a process ended: with an exit code, or by a signal.
struct Exit {
  int code = -1;
  int signal = 0;
  std::string text() const;
  friend bool operator==(const Exit&, const Exit&) = default;
  friend std::ostream& operator<<(std::ostream& stream, const Exit& exit);
};

struct SpawnOptions {
  std::vector<std::string> environment;  // "KEY=value", over the test's own
  std::filesystem::path directory;       // empty: the test's own
  std::optional<uid_t> user;             // with the group of the same number and no others
};

// Runs from its construction. What it prints is kept in memory files, which it shares with its own
// children: a child that outlives it blocks nobody. The process dies with the thread that started
// it.
class Process {
 public:
  explicit Process(std::vector<std::string> argv, SpawnOptions options = {});
  ~Process();  // kills it if it still runs, and reaps it
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& command() const { return command_; }
  void signal(int number) const;

  // How it ended; nullopt if it still runs at the deadline.
  std::optional<Exit> wait(Deadline deadline);
  bool running() { return !wait(0ms); }

  std::string out() const;
  std::string err() const;

 private:
  os::Fd out_;
  os::Fd err_;
  os::Fd pidfd_;
  pid_t pid_ = -1;
  std::string command_;
  std::optional<Exit> exit_;
};

struct Finished {
  Exit exit;
  std::string out;
  std::string err;
  std::string text() const;  // all of it, for the message of a failed check
};

// Runs a program to its end. Throws std::runtime_error with its output if that does not come in
// time.
Finished run(std::vector<std::string> argv, Deadline deadline = 60s, SpawnOptions options = {});

}  // namespace appserver::integration

// A running appserverd, and what every test asserts about it in the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/eventually.hpp"
#include "support/process.hpp"
#include "support/records.hpp"
#include "support/site.hpp"
#include "support/status.hpp"

namespace appserver::integration {

struct DaemonOptions {
  bool wait_until_ready = true;
  std::vector<std::string> environment = {};
  // In place of `--config SITE/app.yaml`.
  std::vector<std::string> arguments = {};
};

// Starts the daemon of a site. Its end, explicit by stop() or at the end of the scope, checks that
// the daemon ended when told to, that none of its processes and listening sockets is left, and that
// its log holds no error but those that the test has announced, and no report of a sanitizer.
class Daemon {
 public:
  explicit Daemon(const Site& site, DaemonOptions options = {});
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  pid_t pid() const { return process_.pid(); }
  Process& process() { return process_; }
  std::string log() const { return process_.out() + process_.err(); }

  // appserverctl with `--socket` of this daemon behind the verb.
  Finished ctl(std::vector<std::string> arguments, Deadline deadline = 60s) const;
  // The same in the background: it is followed until it ends or the test ends it.
  Process begin_ctl(std::vector<std::string> arguments) const;
  Status status() const;
  std::vector<Release> history() const;
  // The first address of the first group, or that of another; asked once the group is ready.
  Endpoint address(const std::string& group = {}, std::size_t index = 0) const;
  std::vector<pid_t> pids(const std::string& group = "api") const;

  // Throw std::runtime_error with the log, once the deadline has passed.
  void wait_until_ready(Deadline deadline = 30s);
  void wait_for_control_socket(const Deadline& deadline = 30s);
  void wait_for_log(const std::string& text, Deadline deadline = 10s) const;
  template <typename Predicate>
  Status wait_for_status(const std::string& what, Predicate&& predicate,
                         Deadline deadline = 30s) const;

  // Lines of the log at level error that hold this text are part of the test.
  void expect_error(std::string text) { expected_errors_.push_back(std::move(text)); }

  // Sends SIGTERM and checks the end. Once.
  void stop();
  // Sends SIGKILL to the supervisor and checks that its workers follow. Once.
  void kill();
  // Checks the end of a daemon that the test has brought about itself, with what it ended.
  void has_ended(Exit expected, Deadline deadline = 20s);

 private:
  [[noreturn]] void fail_waiting(const std::string& what) const;
  void check_still_running(const std::string& awaited);
  std::set<pid_t> left_over_processes() const;
  void remember_listeners();
  void check_nothing_is_left(Deadline deadline);
  void check_log() const;
  void tear_down();

  const Site& site_;
  std::set<pid_t> before_;  // children of the test that are not of this daemon
  Process process_;
  std::vector<std::string> expected_errors_;
  std::set<std::uint64_t> listeners_;
  std::set<std::uint16_t> ports_;
  int exceptions_at_start_;
  bool checked_ = false;
};

template <typename Predicate>
Status Daemon::wait_for_status(const std::string& what, Predicate&& predicate,
                               Deadline deadline) const {
  for (;;) {
    Status status = this->status();
    if (predicate(status)) return status;
    if (deadline.passed()) fail_waiting(what + "\nlast status: " + status.text);
    pause_briefly();
  }
}

// Lines that tell of something gone wrong in a log: level error or worse, or a sanitizer's report.
std::vector<std::string> error_lines(const std::string& log);
std::vector<std::string> sanitizer_lines(const std::string& log);

std::string daemon_binary();
std::string ctl_binary();

}  // namespace appserver::integration

#include "support/daemon.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <exception>
#include <sstream>
#include <stdexcept>

#include "support/census.hpp"
#include "support/eventually.hpp"

namespace appserver::integration {

namespace {

constexpr std::size_t kLogTail = 8000;

std::set<pid_t> descendants_now() {
  adopt_orphans();
  std::set<pid_t> pids;
  for (const auto& process : descendants_of(::getpid())) pids.insert(process.pid);
  return pids;
}

std::vector<std::string> command_line(const Site& site, const DaemonOptions& options) {
  std::vector<std::string> argv{daemon_binary()};
  if (options.arguments.empty()) {
    argv.insert(argv.end(), {"--config", site.config_file().string()});
  } else {
    argv.insert(argv.end(), options.arguments.begin(), options.arguments.end());
  }
  return argv;
}

std::string tail(const std::string& text) {
  return text.size() <= kLogTail ? text : "..." + text.substr(text.size() - kLogTail);
}

template <typename Wanted>
std::vector<std::string> lines_where(const std::string& text, Wanted&& wanted) {
  std::vector<std::string> result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (wanted(line)) result.push_back(line);
  }
  return result;
}

bool contains_any(const std::string& line, const std::vector<std::string>& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const auto& text) { return line.find(text) != std::string::npos; });
}

}  // namespace

std::string daemon_binary() { return APPSERVER_DAEMON; }
std::string ctl_binary() { return APPSERVER_CTL; }

std::vector<std::string> error_lines(const std::string& log) {
  return lines_where(log, [](const auto& line) {
    std::istringstream words(line);
    std::string date, time, level;
    words >> date >> time >> level;
    return level == "error";
  });
}

std::vector<std::string> sanitizer_lines(const std::string& log) {
  static const std::vector<std::string> kReports{"AddressSanitizer", "LeakSanitizer",
                                                 "ThreadSanitizer", "runtime error:"};
  return lines_where(log, [](const auto& line) { return contains_any(line, kReports); });
}

Daemon::Daemon(const Site& site, DaemonOptions options)
    : site_(site),
      before_(descendants_now()),
      process_(command_line(site, options), {options.environment, site.root(), std::nullopt}),
      exceptions_at_start_(std::uncaught_exceptions()) {
  if (!options.wait_until_ready) return;
  try {
    wait_until_ready();
  } catch (...) {
    tear_down();
    throw;
  }
}

Daemon::~Daemon() {
  if (checked_) return;
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    WARN("the log of the daemon:\n" << tail(log()));
    tear_down();
    return;
  }
  try {
    stop();
  } catch (const std::exception& error) {
    tear_down();
    FAIL_CHECK(error.what());
  }
}

Finished Daemon::ctl(std::vector<std::string> arguments, Deadline deadline) const {
  std::vector<std::string> argv{ctl_binary()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.insert(argv.end(), {"--socket", site_.control_socket().string()});
  return run(std::move(argv), deadline);
}

Process Daemon::begin_ctl(std::vector<std::string> arguments) const {
  std::vector<std::string> argv{ctl_binary()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.insert(argv.end(), {"--socket", site_.control_socket().string()});
  return Process(std::move(argv));
}

std::vector<Release> Daemon::history() const {
  const auto finished = ctl({"history", "--json"}, 20s);
  if (finished.exit.code != 0) fail_waiting("appserverctl history answers: " + finished.text());
  return parse_history(finished.out);
}

Status Daemon::status() const {
  const auto finished = ctl({"status", "--json"}, 20s);
  if (finished.exit.code != 0) fail_waiting("appserverctl status answers: " + finished.text());
  return parse_status(finished.out);
}

Endpoint Daemon::address(const std::string& group, std::size_t index) const {
  const Status now = status();
  const auto& found = group.empty() ? now.groups.at(0) : now.group(group);
  return found.listen.at(index);
}

std::vector<pid_t> Daemon::pids(const std::string& group) const {
  return status().group(group).pids();
}

void Daemon::fail_waiting(const std::string& what) const {
  throw std::runtime_error("waited in vain until " + what + "\nthe log of the daemon:\n" +
                           tail(log()));
}

void Daemon::wait_for_control_socket(const Deadline& deadline) {
  const auto there = [&] {
    check_still_running("it listens");
    return std::filesystem::exists(site_.control_socket());
  };
  if (!becomes_true(there, deadline)) fail_waiting("there is a control socket");
}

void Daemon::wait_until_ready(Deadline deadline) {
  // appserverctl is asked only once there is a socket: a process per look would slow down what it
  // waits for.
  wait_for_control_socket(deadline);
  for (;;) {
    const auto answer = ctl({"status", "--json"}, 20s);
    if (answer.exit.code == 0) {
      const auto status = parse_status(answer.out);
      if (status.pid == pid() && status.all_ready()) return;
    }
    check_still_running("all workers are ready");
    if (deadline.passed()) fail_waiting("all workers are ready; last answer: " + answer.text());
    pause_briefly();
  }
}

void Daemon::check_still_running(const std::string& awaited) {
  if (const auto exit = process_.wait(0ms))
    fail_waiting(awaited + ": it has ended, " + exit->text());
}

void Daemon::wait_for_log(const std::string& text, Deadline deadline) const {
  if (becomes_true([&] { return log().find(text) != std::string::npos; }, deadline)) return;
  fail_waiting("its log says: " + text);
}

void Daemon::remember_listeners() {
  const auto answer = ctl({"status", "--json"}, 20s);
  if (answer.exit.code != 0) return;
  for (const auto& group : parse_status(answer.out).groups) {
    for (const auto& endpoint : group.listen) {
      if (endpoint.is_unix()) continue;
      ports_.insert(endpoint.port);
      listeners_.merge(listening_inodes(endpoint.port));
    }
  }
}

void Daemon::stop() {
  if (process_.running()) {
    remember_listeners();
    process_.signal(SIGTERM);
  }
  has_ended(Exit{0, 0});
}

void Daemon::kill() {
  remember_listeners();
  process_.signal(SIGKILL);
  has_ended(Exit{-1, SIGKILL});
}

void Daemon::has_ended(Exit expected, Deadline deadline) {
  checked_ = true;
  const auto exit = process_.wait(deadline);
  if (!exit) {
    tear_down();
    FAIL_CHECK("the daemon did not end in time; its log:\n" << tail(log()));
    return;
  }
  INFO("the daemon ended with " << exit->text() << "; its log:\n" << tail(log()));
  CHECK(*exit == expected);
  check_nothing_is_left(10s);
  check_log();
}

std::set<pid_t> Daemon::left_over_processes() const {
  std::set<pid_t> left;
  for (const auto& process : descendants_of(::getpid())) {
    if (before_.contains(process.pid) || process.pid == process_.pid()) continue;
    if (process.state == 'Z') {
      ::waitpid(process.pid, nullptr, WNOHANG);
    } else {
      left.insert(process.pid);
    }
  }
  return left;
}

void Daemon::check_nothing_is_left(Deadline deadline) {
  becomes_true([&] { return left_over_processes().empty(); }, deadline);
  const auto left = left_over_processes();
  CHECK(left == std::set<pid_t>());
  for (const pid_t pid : left) ::kill(pid, SIGKILL);
  for (const auto port : ports_) {
    for (const auto inode : listening_inodes(port)) {
      INFO("port " << port << " is still held");
      CHECK(listeners_.count(inode) == 0);
    }
  }
}

void Daemon::check_log() const {
  CHECK(sanitizer_lines(log()) == std::vector<std::string>());
  auto errors = error_lines(log());
  std::erase_if(errors, [&](const auto& line) { return contains_any(line, expected_errors_); });
  // What is said of a crash or of a failed rollout beside the line that tells of it, which a test
  // must have announced.
  static const std::vector<std::string> kMoreOfIt{"crash record ", "]   at ",
                                                  "going back to the release before: "};
  std::erase_if(errors, [](const auto& line) { return contains_any(line, kMoreOfIt); });
  CHECK(errors == std::vector<std::string>());
}

void Daemon::tear_down() {
  checked_ = true;
  process_.signal(SIGKILL);
  process_.wait(10s);
  becomes_true(
      [&] {
        const auto left = left_over_processes();
        for (const pid_t pid : left) ::kill(pid, SIGKILL);
        return left.empty();
      },
      10s);
}

}  // namespace appserver::integration

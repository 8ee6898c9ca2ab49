// The daemon as the first process of a container: what the kernel then leaves to it.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "support/census.hpp"
#include "support/daemon.hpp"

using namespace appserver::integration;

namespace {

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("not run: only root can make a PID namespace");
  return false;
}

// In a PID namespace of its own, of which it is process 1.
class Container {
 public:
  explicit Container(const Site& site)
      : unshare_({"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", APPSERVER_DAEMON,
                  "--config", site.config_file().string()}),
        socket_(site.control_socket()) {
    eventually("the daemon is ready", 30s, [&] { return ctl("status").exit.code == 0; });
    daemon_ = children_of(unshare_.pid()).at(0).pid;
  }

  Process& process() { return unshare_; }
  pid_t daemon() const { return daemon_; }
  Finished ctl(const std::string& verb) const {
    return run({APPSERVER_CTL, verb, "--socket", socket_.string()});
  }
  std::string log() const { return unshare_.out() + unshare_.err(); }

  // A process whose parent ends at once.
  pid_t leave_orphan() const {
    const Finished left = run({"nsenter", "--target", std::to_string(daemon_), "--pid", "sh", "-c",
                               "sleep 1000 > /dev/null 2>&1 &"});
    INFO(left.text());
    REQUIRE(left.exit == Exit{0});
    pid_t orphan = 0;
    eventually("the daemon has got the orphan", 30s, [&] {
      for (const ProcessFacts& child : children_of(daemon_)) {
        if (child.name == "sleep") orphan = child.pid;
      }
      return orphan != 0;
    });
    return orphan;
  }

 private:
  Process unshare_;
  std::filesystem::path socket_;
  pid_t daemon_ = 0;
};

}  // namespace

TEST_CASE(
    "as process 1 the daemon reaps those that others have left, and takes none for a worker") {
  if (!is_root()) return;
  Site site(probe_group(2));
  Container container(site);
  for (int round = 0; round < 3; ++round) {
    const pid_t orphan = container.leave_orphan();
    ::kill(orphan, SIGKILL);
    eventually("the orphan is reaped", 30s, [&] { return !exists(orphan); });
  }
  CHECK(container.ctl("reload").exit.code == 0);
  CHECK(census_of(container.daemon()).zombies == 0);
  ::kill(container.daemon(), SIGTERM);
  CHECK(container.process().wait(60s) == Exit{0});
  INFO(container.log());
  CHECK(container.log().find("unexpectedly") == std::string::npos);
}

TEST_CASE("as process 1 a worker that is killed beside orphans is still told of and replaced") {
  if (!is_root()) return;
  Site site(probe_group(1));
  Container container(site);
  const pid_t orphan = container.leave_orphan();
  const auto workers = [&] {
    std::vector<pid_t> found;
    for (const ProcessFacts& child : children_of(container.daemon())) {
      if (child.name != "sleep" && child.state != 'Z') found.push_back(child.pid);
    }
    return found;
  };
  const std::vector<pid_t> before = workers();
  REQUIRE(before.size() == 1);
  ::kill(before.front(), SIGKILL);
  ::kill(orphan, SIGKILL);
  eventually("both are reaped", 30s, [&] { return !exists(before.front()) && !exists(orphan); });
  eventually("another worker serves", 30s, [&] {
    return container.ctl("status").out.find("SIGKILL") != std::string::npos &&
           workers().size() == 1;
  });
  ::kill(container.daemon(), SIGTERM);
  CHECK(container.process().wait(60s) == Exit{0});
}

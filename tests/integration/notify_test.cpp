// What the daemon tells systemd, or whoever gave it a NOTIFY_SOCKET.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "os/error.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver;
using namespace appserver::integration;

namespace {

// The service manager's end.
class Manager {
 public:
  explicit Manager(const std::filesystem::path& path)
      : path_(path), socket_(os::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket")) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path_.string();
    REQUIRE(text.size() < sizeof(address.sun_path));
    std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    os::check(::bind(socket_.get(), static_cast<sockaddr*>(static_cast<void*>(&address)),
                     sizeof(address)),
              "bind({})", text);
  }

  std::string environment() const { return "NOTIFY_SOCKET=" + path_.string(); }

  // Reads until a message holds this line; all lines so far.
  bool hears(const std::string& line, Deadline deadline = 30s) {
    while (heard_.find("\n" + line) == std::string::npos) {
      pollfd readable{socket_.get(), POLLIN, 0};
      if (::poll(&readable, 1, deadline.poll_timeout()) <= 0) return false;
      char message[4096];
      const ssize_t size = ::recv(socket_.get(), message, sizeof(message), 0);
      if (size > 0) heard_.append("\n").append(message, static_cast<std::size_t>(size));
    }
    return true;
  }
  // Begins to listen anew.
  void forget() { heard_.clear(); }
  const std::string& heard() const { return heard_; }

 private:
  std::filesystem::path path_;
  os::Fd socket_;
  std::string heard_;
};

}  // namespace

TEST_CASE("READY=1 is said when the workers serve, STOPPING=1 when the stop begins") {
  Site site(probe_group(2));
  Manager manager(site.root() / "notify");
  Daemon daemon(site, {.environment = {manager.environment()}});
  INFO(manager.heard());
  REQUIRE(manager.hears("READY=1"));
  REQUIRE(manager.heard().find("STOPPING=1") == std::string::npos);
  daemon.stop();
  REQUIRE(manager.hears("STOPPING=1"));
}

TEST_CASE("a reload ends with READY=1, a failed one too") {
  Site site(probe_group(1));
  Manager manager(site.root() / "notify");
  Daemon daemon(site, {.environment = {manager.environment()}});
  daemon.expect_error("rollout");
  REQUIRE(manager.hears("READY=1"));
  for (const bool good : {true, false}) {
    manager.forget();
    if (good) site.install(probe_v2());
    if (!good) write_file(site.plugin(), "broken");
    REQUIRE((daemon.ctl({"reload"}).exit.code == 0) == good);
    REQUIRE(manager.hears("RELOADING=1"));
    REQUIRE(manager.hears("READY=1"));
    INFO(manager.heard());
    REQUIRE(manager.heard().find("RELOADING=1") < manager.heard().find("READY=1"));
  }
}

TEST_CASE("a rollout before the start is over is no reload, and does not end the start") {
  Site site(
      probe_group(1) +
      "  other: {plugin: other, listen: 'http://127.0.0.1:0', reload: {start_timeout: 100s}}\n");
  site.install(fixture("hangs_at_start"), "other");
  Manager manager(site.root() / "notify");
  Daemon daemon(site, {.wait_until_ready = false, .environment = {manager.environment()}});
  daemon.wait_for_log("api/0");
  site.install(probe_v2());
  REQUIRE(daemon.ctl({"reload", "api"}).exit.code == 0);
  daemon.expect_error("SIGKILL in on_worker_start");
  daemon.process().signal(SIGINT);
  daemon.has_ended(Exit{0, 0});
  REQUIRE(manager.hears("STOPPING=1"));
  INFO(manager.heard());
  REQUIRE(manager.heard().find("RELOADING=1") == std::string::npos);
  REQUIRE(manager.heard().find("READY=1") == std::string::npos);
}

TEST_CASE("workers do not inherit NOTIFY_SOCKET: only the supervisor speaks for the service") {
  Site site(probe_group(1));
  Manager manager(site.root() / "notify");
  Daemon daemon(site, {.environment = {manager.environment()}});
  REQUIRE(get(daemon.address(), "/environment?name=NOTIFY_SOCKET").body == "(none)\n");
}

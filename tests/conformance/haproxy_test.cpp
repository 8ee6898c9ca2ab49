// A real HAProxy in front of the built daemon: its PROXY headers, of both versions, are understood.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/process.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;
namespace fs = std::filesystem;

namespace {

const fs::path kProgram = "/usr/sbin/haproxy";

bool missing() {
  if (fs::exists(kProgram)) return false;
  if (std::getenv("APPSERVER_CONFORMANCE_ALL") != nullptr) FAIL("missing: haproxy");
  WARN("not tried, missing: haproxy");
  return true;
}

// Of this process alone, so that a fixed port is free there.
std::string own_address() {
  const auto pid = static_cast<unsigned>(::getpid());
  return "127." + std::to_string(1 + (pid >> 16 & 0x7F)) + "." + std::to_string(pid >> 8 & 0xFF) +
         "." + std::to_string(pid & 0xFF);
}

// Before `served`, which it looks after with checks of its own.
class HaProxy {
 public:
  HaProxy(const Site& site, const Endpoint& served, const std::string& options)
      : front_(served), process_(arguments(site, served, options)) {
    front_.host = own_address();
    front_.port = 18'080;
    const Deadline deadline(20s);
    while (Connection(front_).connect() != Outcome::ok) {
      INFO(process_.out() << process_.err());
      REQUIRE(process_.running());
      REQUIRE_FALSE(deadline.passed());
      pause_briefly();
    }
  }

  const Endpoint& front() const { return front_; }

 private:
  static std::vector<std::string> arguments(const Site& site, const Endpoint& served,
                                            const std::string& options) {
    const fs::path file = site.root() / "haproxy.cfg";
    write_file(file,
               "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n"
               "  timeout server 30s\nlisten front\n  bind " +
                   own_address() + ":18080\n  server one 127.0.0.1:" + std::to_string(served.port) +
                   " " + options + " check check-send-proxy inter 100ms\n");
    return {kProgram.string(), "-db", "-f", file.string()};
  }

  Endpoint front_;
  Process process_;
};

std::string group(const std::string& plugin, const std::string& listen) {
  return "groups:\n  api:\n    plugin: " + plugin + "\n    listen: '" + listen +
         "'\n    count: 2\n    proxy_protocol: true\n";
}

std::string options() {
  return GENERATE("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c");
}

// As the probe plugin says it.
std::string own_end(const Connection& client) {
  return "127.0.0.1:" + client.local_address().substr(5) + "\n";  // behind "port "
}

void check_nobody_was_refused(const Daemon& daemon) {
  INFO(daemon.log());
  CHECK(daemon.log().find("a connection from") == std::string::npos);
}

}  // namespace

TEST_CASE("behind HAProxy a request has its client's address, before and after a reload") {
  if (missing()) return;
  Site site(group("probe", "http://127.0.0.1:0"));
  Daemon daemon(site);
  const HaProxy proxy(site, daemon.address(), options());
  Connection client(proxy.front());
  REQUIRE(client.connect() == Outcome::ok);
  CHECK(client.get("/remote").body == own_end(client));
  site.install(probe_v2());
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  CHECK(client.get("/").body == "v2\n");
  CHECK(client.get("/remote").body == own_end(client));
  CHECK(client.connects() == 1);
  check_nobody_was_refused(daemon);
}

TEST_CASE("behind HAProxy a connection has both of its client's ends") {
  if (missing()) return;
  Site site(group("talk", GENERATE("text://127.0.0.1:0", "ws://127.0.0.1:0")));
  site.install(fs::path(APPSERVER_TEST_PLUGINS) / "v1/talk.so", "talk");
  Daemon daemon(site);
  const HaProxy proxy(site, daemon.address(), options());
  Talk client(proxy.front());
  const std::string ends = client.ask("ends");
  CHECK(ends.starts_with("127.0.0.1:"));
  CHECK(ends.ends_with(" " + own_address() + ":18080"));
  check_nobody_was_refused(daemon);
}

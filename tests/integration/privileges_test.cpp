// Under which identity and limits a worker runs plugin code.
#include <pwd.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("not run: only root can change to another user");
  return false;
}

std::string ids(uid_t id) {
  const auto text = std::to_string(id);
  return text + "\t" + text + "\t" + text + "\t" + text;
}

// The words of the line of /proc/PID/limits that begins with this name.
std::string limit_line(pid_t pid, const std::string& name) {
  std::ifstream limits("/proc/" + std::to_string(pid) + "/limits");
  for (std::string line; std::getline(limits, line);) {
    if (line.starts_with(name)) return line;
  }
  return {};
}

std::pair<std::string, std::string> soft_and_hard(pid_t pid, const std::string& name) {
  std::istringstream words(limit_line(pid, name).substr(name.size()));
  std::pair<std::string, std::string> result;
  words >> result.first >> result.second;
  return result;
}

}  // namespace

TEST_CASE("workers run under the user of their group, with no group of the supervisor's") {
  if (!is_root()) return;
  const passwd* nobody = ::getpwnam("nobody");
  REQUIRE(nobody != nullptr);
  Site site(probe_group(2, "    user: nobody\n"));
  Daemon daemon(site);
  for (const pid_t pid : daemon.pids()) {
    REQUIRE(status_field(pid, "Uid") == ids(nobody->pw_uid));
    REQUIRE(status_field(pid, "Gid") == ids(nobody->pw_gid));
    std::istringstream groups(status_field(pid, "Groups"));
    for (gid_t group = 0; groups >> group;) REQUIRE(group == nobody->pw_gid);
    REQUIRE(status_field(pid, "NoNewPrivs") == "1");
    REQUIRE(status_field(pid, "CapEff") == "0000000000000000");
    REQUIRE(status_field(pid, "CapPrm") == "0000000000000000");
  }
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(status_field(daemon.pid(), "Uid") == ids(0));
}

TEST_CASE("workers under another user are reloaded like any other") {
  if (!is_root()) return;
  Site site(probe_group(2, "    user: nobody\n"));
  Daemon daemon(site);
  Connection connection(daemon.address());
  REQUIRE(connection.get("/").body == "v1\n");
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE(connection.get("/").body == "v2\n");
  REQUIRE(connection.connects() == 1);
}

TEST_CASE("a reload to a user that does not exist is refused, and nobody runs as root instead") {
  if (!is_root()) return;
  Site site(probe_group(1, "    user: nobody\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  site.configure(probe_group(1, "    user: no-such-user\n"));
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 3);
  REQUIRE((refused.out + refused.err).find("no-such-user") != std::string::npos);
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("environment, working directory and limits of a group reach its workers only") {
  Site site(
      "groups:\n"
      "  api:\n"
      "    plugin: probe\n"
      "    count: 1\n"
      "    listen: http://127.0.0.1:0\n"
      "    environment: {COLOUR: green}\n"
      "    working_directory: work\n"
      "    rlimits: {nofile: 1234, core: 0}\n"
      "  plain: {plugin: probe, count: 1, listen: http://127.0.0.1:0}\n");
  std::filesystem::create_directory(site.root() / "work");
  Daemon daemon(site, {.environment = {"SHAPE=round"}});
  const auto api = daemon.address("api");
  REQUIRE(get(api, "/environment?name=COLOUR").body == "green\n");
  REQUIRE(get(api, "/environment?name=SHAPE").body == "round\n");
  REQUIRE(get(api, "/directory").body == (site.root() / "work").string() + "\n");
  REQUIRE(soft_and_hard(daemon.pids("api").at(0), "Max open files").first == "1234");
  REQUIRE(soft_and_hard(daemon.pids("api").at(0), "Max core file size").second == "0");

  const auto plain = daemon.address("plain");
  REQUIRE(get(plain, "/environment?name=COLOUR").body == "(none)\n");
  REQUIRE(soft_and_hard(daemon.pids("plain").at(0), "Max open files") ==
          soft_and_hard(::getpid(), "Max open files"));
}

TEST_CASE("a worker inherits no descriptor of the supervisor's but its own") {
  Site site(
      "groups:\n"
      "  one: {plugin: probe, count: 2, listen: http://127.0.0.1:0}\n"
      "  two: {plugin: probe, count: 2, listen: http://127.0.0.1:0}\n");
  Daemon daemon(site);
  const auto inodes = listening_inodes(daemon.address("two").port);
  REQUIRE_FALSE(inodes.empty());
  const auto held = descriptors_of(daemon.pids("one").at(0));
  INFO(held);
  for (const auto inode : inodes) {
    REQUIRE(held.find("socket:[" + std::to_string(inode) + "]") == std::string::npos);
  }
  REQUIRE(held.find("appserverd.sock") == std::string::npos);
}

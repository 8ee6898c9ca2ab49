// appserverctl and the control socket: exit codes, who may do what, and one daemon a place.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <sstream>

#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

constexpr int kUsage = 2;
constexpr int kNoDaemon = 8;
constexpr uid_t kNobody = 65534;

std::string output(const Finished& finished) { return finished.out + finished.err; }

}  // namespace

TEST_CASE("without a daemon every verb that needs one exits with 8 and says where it looked") {
  Site site(probe_group(1));
  const std::vector<std::vector<std::string>> verbs{
      {"status"}, {"reload"}, {"stop"}, {"restart", "api"}};
  for (auto verb : verbs) {
    verb.insert(verb.begin(), ctl_binary());
    verb.insert(verb.end(), {"--socket", site.control_socket().string()});
    const auto finished = run(verb, 20s);
    INFO(verb[1] << ": " << finished.text());
    REQUIRE(finished.exit.code == kNoDaemon);
    REQUIRE(finished.err.find(site.control_socket().string()) != std::string::npos);
  }
}

TEST_CASE("a socket that a dead daemon left behind is no daemon") {
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    daemon.kill();
  }
  REQUIRE(std::filesystem::exists(site.control_socket()));
  const auto finished =
      run({ctl_binary(), "status", "--socket", site.control_socket().string()}, 20s);
  INFO(finished.text());
  REQUIRE(finished.exit.code == kNoDaemon);
}

TEST_CASE("a wrong use exits with 2 and names what is wrong") {
  const std::vector<std::vector<std::string>> uses{
      {"nonsense"}, {"status", "--nonsense"}, {"restart"}, {"check"}};
  for (auto use : uses) {
    const std::string last = use.back();
    use.insert(use.begin(), ctl_binary());
    const auto finished = run(use, 20s);
    INFO(finished.text());
    REQUIRE(finished.exit.code == kUsage);
    REQUIRE(finished.err.find(last) != std::string::npos);
  }
}

TEST_CASE("check and version need no daemon") {
  Site site(probe_group(1));
  const auto good = run({ctl_binary(), "check", site.config_file().string()}, 20s);
  INFO(good.text());
  REQUIRE(good.exit.code == 0);
  site.configure(probe_group(1, "    cuont: 3\n"));
  const auto bad = run({ctl_binary(), "check", site.config_file().string()}, 20s);
  INFO(bad.text());
  REQUIRE(bad.exit.code != 0);
  REQUIRE(output(bad).find("app.yaml:11:5") != std::string::npos);
  const auto version = run({ctl_binary(), "version"}, 20s);
  REQUIRE(version.exit.code == 0);
  REQUIRE_FALSE(version.out.empty());
}

TEST_CASE("the daemon is found by --socket, --config and APPSERVER_SOCKET") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto by_config =
      run({ctl_binary(), "status", "--config", site.config_file().string()}, 20s);
  INFO(by_config.text());
  REQUIRE(by_config.exit.code == 0);
  const auto by_environment =
      run({ctl_binary(), "status"}, 20s,
          {{"APPSERVER_SOCKET=" + site.control_socket().string()}, {}, std::nullopt});
  INFO(by_environment.text());
  REQUIRE(by_environment.exit.code == 0);
}

TEST_CASE("the table of status shows each worker") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const auto finished = daemon.ctl({"status"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE(finished.out.find("api") != std::string::npos);
  REQUIRE(finished.out.find("ready") != std::string::npos);
  for (const pid_t pid : daemon.pids()) {
    REQUIRE(finished.out.find(std::to_string(pid)) != std::string::npos);
  }
}

TEST_CASE("reload --json prints a JSON object a line, the last with the result") {
  Site site(probe_group(2));
  Daemon daemon(site);
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload", "--json"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  std::istringstream lines(finished.out);
  boost::json::object last;
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count)
    last = boost::json::parse(line).as_object();
  REQUIRE(count >= 3);
  REQUIRE(last.at("event").as_string() == "done");
  REQUIRE(last.at("result").as_string() == "done");
  REQUIRE(last.at("exit_code").to_number<int>() == 0);
}

TEST_CASE("the control socket is not for everybody, and a reader may not operate") {
  if (::geteuid() != 0) {
    WARN("not run: only root can act as another user");
    return;
  }
  Site site(probe_group(1));
  Daemon daemon(site);
  struct stat socket {};
  REQUIRE(::stat(site.control_socket().c_str(), &socket) == 0);
  REQUIRE((socket.st_mode & 0777) == 0660);
  const auto pids = daemon.pids();
  const auto as_nobody = [&](const std::string& verb) {
    return run({ctl_binary(), verb, "--socket", site.control_socket().string()}, 20s,
               {{}, site.root(), kNobody});
  };
  const auto shut_out = as_nobody("status");
  INFO(shut_out.text());
  REQUIRE(shut_out.exit.code != 0);

  REQUIRE(::chmod(site.control_socket().parent_path().c_str(), 0755) == 0);
  REQUIRE(::chmod(site.control_socket().c_str(), 0666) == 0);
  const auto reader = as_nobody("status");
  INFO(reader.text());
  REQUIRE(reader.exit.code == 0);
  for (const std::string verb : {"reload", "stop"}) {
    const auto refused = as_nobody(verb);
    INFO(refused.text());
    REQUIRE(refused.exit.code == 1);
  }
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a second daemon on the same control socket is refused, and the first goes on") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  const auto second = run({daemon_binary(), "--config", site.config_file().string()}, 20s);
  INFO(second.text());
  REQUIRE(second.exit.code > 0);
  REQUIRE(second.err.find(site.control_socket().string()) != std::string::npos);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(get(daemon.address(), "/").ok());
}

TEST_CASE("a port that another one holds stops the start and is named") {
  Site holder_site(probe_group(1));
  Daemon holder(holder_site);
  const auto address = holder.address();
  Site site("groups:\n  api: {plugin: probe, count: 1, listen: '" + address.text() + "'}\n");
  const auto finished = run({daemon_binary(), "--config", site.config_file().string()}, 20s);
  INFO(finished.text());
  REQUIRE(finished.exit.code > 0);
  REQUIRE(finished.err.find(address.authority()) != std::string::npos);
  REQUIRE(get(address, "/").ok());
}

TEST_CASE("garbage on the control socket harms nobody") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Endpoint socket;
  socket.unix_path = site.control_socket().string();
  const std::vector<std::string> garbage{
      std::string(100'000, 'x'), std::string(1000, '\0'), "GET\r\n\r\n",
      "POST /v1/reload HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"};
  for (const auto& bytes : garbage) {
    Connection connection(socket, 3s);
    connection.send(bytes);
    connection.receive();
  }
  Connection silent(socket);
  REQUIRE(silent.connect() == Outcome::ok);
  REQUIRE(daemon.status().all_ready());
}

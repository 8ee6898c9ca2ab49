// How a daemon starts, or says why it does not.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <sstream>

#include "os/error.hpp"
#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver;
using namespace appserver::integration;

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kRolledBack = 4;

std::string output(const Finished& finished) { return finished.out + finished.err; }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// As a shell does it: `redirections` such as "<&- 2>/dev/full".
std::vector<std::string> daemon_with(const std::string& redirections,
                                     const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{"/bin/sh", "-c", "exec \"$0\" \"$@\" " + redirections,
                                daemon_binary()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Finished ctl(const Site& site, const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{ctl_binary()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.insert(argv.end(), {"--socket", site.control_socket().string()});
  return run(std::move(argv), 60s);
}

// Starts a daemon that must not come up.
Finished start_in_vain(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{daemon_binary()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(std::move(argv), 20s);
}

Status wait_until_ready(const Site& site, Process& daemon) {
  std::optional<Status> status;
  const auto details = [&] { return daemon.out() + daemon.err(); };
  const auto ready = [&] {
    if (const auto exit = daemon.wait(0ms)) {
      throw std::runtime_error("the daemon has ended: " + exit->text() + "\n" + details());
    }
    if (!std::filesystem::exists(site.control_socket())) return false;
    const auto answer = ctl(site, {"status", "--json"});
    if (answer.exit.code == 0) status = parse_status(answer.out);
    return status && status->all_ready();
  };
  eventually("all workers are ready", 30s, ready, details);
  return *status;
}

std::string line_with(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (contains(line, part)) return line;
  }
  return {};
}

// A listener that shares its port with nobody.
class BusyPort {
 public:
  BusyPort() : socket_(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = static_cast<sockaddr*>(static_cast<void*>(&address));
    os::check(::bind(socket_.get(), generic, size), "bind");
    os::check(::listen(socket_.get(), 1), "listen");
    os::check(::getsockname(socket_.get(), generic, &size), "getsockname");
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  const std::string& address() const { return address_; }

 private:
  os::Fd socket_;
  std::string address_;
};

// What is printed there must end up in no socket and no file of the daemon's.
void require_nothing_at_standard_places(pid_t pid) {
  for (const std::string number : {"0", "1", "2"}) {
    const auto link = "/proc/" + std::to_string(pid) + "/fd/" + number;
    const std::string target = std::filesystem::read_symlink(link);
    INFO("descriptor " << number << " is " << target);
    REQUIRE((target == "/dev/null" || target.starts_with("/memfd:std")));
  }
}

// By the parser's strictness: it takes no string with other bytes.
bool is_utf8(const std::string& text) {
  boost::json::error_code error;
  boost::json::parse(boost::json::serialize(boost::json::string(text)), error);
  return !error;
}

void require_readable(const Finished& finished, const std::string& part) {
  INFO(finished.text());
  REQUIRE(is_utf8(output(finished)));
  REQUIRE(contains(output(finished), part));
}

}  // namespace

TEST_CASE(
    "a daemon that is started without stdin, stdout or stderr serves, reloads and stops as ever") {
  const std::string closed = GENERATE(as<std::string>(), "<&-", ">&-", "2>&-", "<&- >&- 2>&-");
  Site site(probe_group(2));
  adopt_orphans();
  Process daemon(daemon_with(closed, {"--config", site.config_file().string()}),
                 {{}, site.root(), std::nullopt});
  INFO(closed);
  const Endpoint address = wait_until_ready(site, daemon).group("api").listen.at(0);
  require_nothing_at_standard_places(daemon.pid());
  Connection client(address);
  REQUIRE(client.get("/").body == "v1\n");
  site.install(probe_v2());
  const auto reload = ctl(site, {"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);

  const auto workers = descendants_of(daemon.pid());
  REQUIRE(workers.size() >= 2);
  daemon.signal(SIGTERM);
  REQUIRE(daemon.wait(20s) == Exit{0, 0});
  for (const auto& worker : workers) {
    INFO("process " << worker.pid << " " << worker.name);
    REQUIRE(becomes_true([&] { return !exists(worker.pid); }, 10s));
  }
  reap_orphans();
  REQUIRE_FALSE(std::filesystem::exists(site.control_socket()));
}

TEST_CASE("a start that fails exits with 1 even where nobody can be told") {
  const std::string redirection =
      GENERATE(as<std::string>(), "2>/dev/full", "2>&-", "<&- >&- 2>&-");
  Site site(probe_group(1));
  std::string config = site.config_file();
  SECTION("because there is no configuration") { config = site.root() / "absent.yaml"; }
  SECTION("because the configuration is wrong") {
    site.configure(probe_group(1, "    cuont: 3\n"));
  }
  SECTION("because the plugin is missing") { std::filesystem::remove(site.plugin()); }
  const auto finished = run(daemon_with(redirection, {"--config", config}), 20s);
  INFO(redirection << ": " << finished.text());
  REQUIRE(finished.exit == Exit{kFailed, 0});
}

TEST_CASE("two daemons do not share a state directory, wherever their control sockets are") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto second = site.root() / "second.yaml";
  write_file(second,
             "daemon:\n"
             "  control: {socket: run/second.sock}\n"
             "  state_dir: state\n"
             "  plugins: {dir: plugins}\n" +
                 probe_group(1));
  const auto refused = start_in_vain({"--config", second.string()});
  INFO(refused.text());
  REQUIRE(refused.exit == Exit{kFailed, 0});
  REQUIRE(contains(refused.err, "state directory"));
  REQUIRE(contains(refused.err, site.state_dir().string()));
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  site.install(probe_v2());
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
}

TEST_CASE("a state directory is free again after its daemon was killed") {
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    daemon.kill();
  }
  Daemon next(site);
  REQUIRE(get(next.address(), "/").body == "v1\n");
}

TEST_CASE("a listener beside --config is a wrong use, not a listener that is left out") {
  Site site(probe_group(1));
  const auto refused =
      start_in_vain({"--config", site.config_file().string(), "--listen", "http://127.0.0.1:0"});
  INFO(refused.text());
  REQUIRE(refused.exit == Exit{kUsage, 0});
  REQUIRE(contains(refused.err, "--listen"));
}

TEST_CASE("a user that does not exist stops the start, and is named") {
  Site site(probe_group(1, "    user: no-such-user\n"));
  const auto refused = start_in_vain({"--config", site.config_file().string()});
  INFO(refused.text());
  REQUIRE(refused.exit == Exit{kFailed, 0});
  REQUIRE(contains(refused.err, "groups.api.user"));
  REQUIRE(contains(refused.err, "no-such-user"));
}

TEST_CASE("a plugin that is missing at start is named by its key and its path") {
  Site site(probe_group(1));
  std::filesystem::remove(site.plugin());
  const auto refused = start_in_vain({"--config", site.config_file().string()});
  INFO(refused.text());
  REQUIRE(refused.exit == Exit{kFailed, 0});
  REQUIRE(contains(refused.err, "groups.api.plugin"));
  REQUIRE(contains(refused.err, site.plugin().string()));
}

TEST_CASE("a port that is taken at start is named with the group that wants it") {
  const BusyPort busy;
  Site site("groups:\n  api: {plugin: probe, listen: 'http://" + busy.address() + "', count: 1}\n");
  const auto refused = start_in_vain({"--config", site.config_file().string()});
  INFO(refused.text());
  REQUIRE(refused.exit == Exit{kFailed, 0});
  REQUIRE(contains(line_with(refused.err, busy.address()), "api"));
}

TEST_CASE(
    "a successor that fails with bytes that are not UTF-8 is rolled back with a readable reason") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  daemon.expect_error("ended: ");
  const auto pids = daemon.pids();
  site.install(fixture("fails_with_bytes"));
  const auto refused = daemon.ctl({"reload"});
  require_readable(refused, " bad");
  REQUIRE(refused.exit.code == kRolledBack);
  REQUIRE(daemon.pids() == pids);

  const auto streamed = daemon.ctl({"reload", "--json"});
  require_readable(streamed, " bad");
  REQUIRE(streamed.exit.code == kRolledBack);
  REQUIRE(is_utf8(daemon.log()));
}

TEST_CASE("a crash reason that is not UTF-8 spoils no status") {
  Site site(probe_group(1));
  const auto flag = site.root() / "fail";
  site.configure(probe_group(1, "    environment: {FAIL_IF: " + flag.string() + "}\n"));
  site.install(fixture("fails_with_bytes"));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  daemon.expect_error("ended: ");
  daemon.expect_error("crash-loop");
  write_file(flag, "fail");
  ::kill(daemon.pids().at(0), SIGKILL);
  const auto failed =
      daemon.wait_for_status("the slot tells of the reason", [](const Status& status) {
        return contains(status.group("api").workers.at(0).last_exit, " bad");
      });
  REQUIRE(is_utf8(failed.text));
  require_readable(daemon.ctl({"status"}), " bad");
  std::filesystem::remove(flag);

  const auto running = daemon.wait_for_status(
      "the slot is ready again", [](const Status& status) { return status.all_ready(); }, 60s);
  REQUIRE(contains(running.group("api").workers.at(0).last_exit, " bad"));
  require_readable(daemon.ctl({"status"}), " bad");
  REQUIRE(is_utf8(daemon.log()));
}

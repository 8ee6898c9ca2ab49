// Messages and keys between the workers of all groups, over reloads and crashes.
#include "support/bus.hpp"

#include <netinet/in.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "os/fd.hpp"
#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

struct BusSite : Site {
  BusSite() : Site("groups: {}\n") {
    install(std::filesystem::path(APPSERVER_TEST_PLUGINS) / "bus.so", "bus");
    std::string groups = "groups:\n";
    for (const char* name : {"api", "other"})
      groups.append("  ").append(name).append(
          ":\n    plugin: bus\n    listen: http://127.0.0.1:0\n    count: 2\n");
    configure(groups);
  }
};

// What each worker of both groups says at /seen, by its pid.
std::map<std::string, std::string> ask_all(const Daemon& daemon) {
  std::map<std::string, std::string> answers;
  const bool all = becomes_true(
      [&] {
        for (const char* group : {"api", "other"}) {
          const std::string text = get(daemon.address(group), "/seen").body;
          answers[text.substr(0, text.find(' '))] = text;
        }
        return answers.size() == 4;
      },
      20s);
  CHECK(all);
  return answers;
}

// Publishes until every worker has seen it.
void reach_all(const Daemon& daemon, const std::string& text) {
  const bool reached = becomes_true(
      [&] {
        REQUIRE(get(daemon.address("api"), "/publish/" + text).ok());
        for (const auto& [pid, seen] : ask_all(daemon)) {
          if (seen.find("[" + text + "]") == std::string::npos) return false;
        }
        return true;
      },
      30s);
  CHECK(reached);
}

// A bus that all workers hear and that has a key, and what comes of it once it was hurt.
struct BusToLose {
  explicit BusToLose(const std::string& expected_error) {
    daemon.expect_error(expected_error);
    reach_all(daemon, "before");
    REQUIRE(get(daemon.address("api"), "/set/value").ok());
    workers = ask_all(daemon);
    bus = bus_of(daemon);
  }

  // Another is there, empty, which the workers have found; the log says why.
  void check_replaced(const std::string& why) {
    daemon.wait_for_log(why, 30s);
    daemon.wait_for_log("it kept are lost", 30s);
    reach_all(daemon, "after");
    CHECK(bus_of(daemon) != bus);
    CHECK_FALSE(exists(bus));
    CHECK(get(daemon.address("api"), "/get").body == "(none)");
    for (const auto& [pid, seen] : ask_all(daemon)) CHECK(workers.contains(pid));
  }
  void check_last_exit(const std::string& signal, const std::string& why) {
    const std::string status = daemon.ctl({"status"}).text();
    INFO(status);
    CHECK(status.find("restarts 1  last exit: " + signal) != std::string::npos);
    CHECK(status.find(", " + why) != std::string::npos);
  }

  BusSite site;
  Daemon daemon{site};
  std::map<std::string, std::string> workers;
  pid_t bus = 0;
};

// Whom connections reach that are never accepted.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    REQUIRE(::bind(socket_.get(), raw, size) == 0);
    REQUIRE(::listen(socket_.get(), 64) == 0);
    REQUIRE(::getsockname(socket_.get(), raw, &size) == 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  const std::string& port() const { return port_; }

 private:
  appserver::os::Fd socket_;
  std::string port_;
};

#if defined(__x86_64__)
// From here on the process runs in a circle, as by a bug: nobody has stopped it, and its loop does
// not turn.
void let_it_hang(pid_t pid) {
  REQUIRE(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0);
  REQUIRE(::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, __WALL) == pid);
  user_regs_struct registers{};
  REQUIRE(::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) == 0);
  // No system call is to be begun again: that would move the instruction pointer.
  registers.orig_rax = static_cast<decltype(registers.orig_rax)>(-1);
  REQUIRE(::ptrace(PTRACE_SETREGS, pid, nullptr, &registers) == 0);
  constexpr long kJumpToItself = 0xfeeb;
  REQUIRE(::ptrace(PTRACE_POKETEXT, pid, registers.rip, kJumpToItself) == 0);
  REQUIRE(::ptrace(PTRACE_DETACH, pid, nullptr, nullptr) == 0);
}
#endif

}  // namespace

TEST_CASE("what one worker publishes reaches every worker of every group") {
  BusSite site;
  Daemon daemon(site);
  reach_all(daemon, "hello");
  REQUIRE(get(daemon.address("other"), "/publish/once").ok());
  CHECK(becomes_true(
      [&] {
        for (const auto& [pid, seen] : ask_all(daemon)) {
          if (seen.find("[once]") == std::string::npos) return false;
        }
        return true;
      },
      10s));
  for (const auto& [pid, seen] : ask_all(daemon)) {
    CHECK(seen.find("[once]") == seen.rfind("[once]"));
    CHECK(seen.find(" resets 0 lost 0 ") != std::string::npos);
  }
}

TEST_CASE("keys are shared by all groups and outlive reloads and crashes of workers") {
  BusSite site;
  Daemon daemon(site);
  CHECK(get(daemon.address("api"), "/get").body == "(none)");
  CHECK(get(daemon.address("api"), "/set/value").body == "set");
  CHECK(get(daemon.address("other"), "/get").body == "value");
  const Finished reload = daemon.ctl({"reload"});
  INFO(reload.text());
  CHECK(reload.exit.code == 0);
  CHECK(get(daemon.address("other"), "/get").body == "value");
  daemon.expect_error("SIGKILL");
  const auto before = daemon.pids("api");
  for (const pid_t pid : before) ::kill(pid, SIGKILL);
  daemon.wait_for_status("both workers are new", [&](const Status&) {
    const auto now = daemon.pids("api");
    return now.size() == 2 && now[0] != before[0] && now[1] != before[1];
  });
  daemon.wait_until_ready();
  CHECK(get(daemon.address("api"), "/get").body == "value");
}

TEST_CASE("a counter that all workers count is right, over reload after reload") {
  BusSite site;
  Daemon daemon(site);
  std::atomic<bool> stop{false};
  std::atomic<int> added{0};
  std::vector<std::string> wrong(4);
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    clients.emplace_back([&, i, endpoint = daemon.address(i % 2 == 0 ? "api" : "other")] {
      Connection connection(endpoint);
      while (!stop && wrong[i].empty()) {
        const Response response = connection.get("/add");
        if (!response.ok()) wrong[i] = response.text();
        ++added;
      }
    });
  }
  for (int round = 0; round < 4; ++round) {
    const int before = added;
    const bool goes_on = becomes_true([&] { return added > before + 100; }, 20s);
    const Finished reload = daemon.ctl({"reload"});
    INFO(reload.text());
    CHECK(goes_on);
    CHECK(reload.exit.code == 0);
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  for (const std::string& text : wrong) CHECK(text.empty());
  CHECK(get(daemon.address("api"), "/count").body == std::to_string(added));
}

TEST_CASE("a bus that is killed comes back empty, and no worker is harmed") {
  BusToLose test("the bus ended (SIGKILL");
  Daemon& daemon = test.daemon;
  for (int round = 0; round < 2; ++round) {
    const pid_t old = bus_of(daemon);
    REQUIRE(::kill(old, SIGKILL) == 0);
    // Each asking ends, one way or the other.
    CHECK(becomes_true(
        [&] {
          const Response response = get(daemon.address("api"), "/get");
          REQUIRE((response.status == 200 || response.status == 503));
          return response.body == "(none)";
        },
        30s));
    reach_all(daemon, "after" + std::to_string(round));
  }
  CHECK(bus_of(daemon) != test.bus);
  for (const auto& [pid, seen] : ask_all(daemon)) {
    CHECK(test.workers.contains(pid));
    CHECK(seen.find(" resets 0 ") == std::string::npos);
  }
}

TEST_CASE("a bus that stands still is told of and replaced, and the workers find the new one") {
  BusToLose test("the bus");
  REQUIRE(::kill(test.bus, SIGSTOP) == 0);
  test.check_replaced("stopped by a signal");
  test.check_last_exit("SIGKILL", "stopped by a signal");
}

TEST_CASE("a worker that asks for the bus once more while it is given it keeps what it was given") {
  BusSite site;
  Daemon daemon(site);
  reach_all(daemon, "before");
  for (int i = 0; i < 4; ++i) CHECK(get(daemon.address("api"), "/ask-again").body == "asked");
  reach_all(daemon, "after");
  for (const auto& [pid, seen] : ask_all(daemon))
    CHECK(seen.find(" resets 0 ") != std::string::npos);
}

#if defined(__x86_64__)
TEST_CASE("a bus whose loop hangs is told of, ended and replaced, and comes back empty") {
  BusToLose test("the bus");
  let_it_hang(test.bus);
  test.check_replaced("its loop had not turned for");
  for (const auto& [pid, seen] : ask_all(test.daemon)) {
    INFO(seen);
    CHECK(seen.find(" resets 1 ") != std::string::npos);
  }
  test.check_last_exit("SIGABRT", "its loop had not turned");
}
#endif

TEST_CASE("messages that are dropped for a slow worker are told of by its name and the topic") {
  BusSite site;
  Daemon daemon(site);
  reach_all(daemon, "hello");
  const pid_t slow = daemon.pids("other").front();
  REQUIRE(::kill(slow, SIGSTOP) == 0);
  for (int i = 0; i < 4; ++i) REQUIRE(get(daemon.address("api"), "/flood").ok());
  const bool told = becomes_true(
      [&] {
        return daemon.log().find(" messages of topic \"news\" for other/") != std::string::npos;
      },
      20s);
  REQUIRE(::kill(slow, SIGCONT) == 0);
  const std::string log = daemon.log();
  INFO(log);
  REQUIRE(told);
  const std::string name = ", pid " + std::to_string(slow) + ", published by api/";
  CHECK(log.find(name) != std::string::npos);
  CHECK(log.find(": more than 1 MiB waited for it") != std::string::npos);
  CHECK(daemon.status().text.find("\"dropped\":0,") == std::string::npos);
}

TEST_CASE("the status tells of the bus once there is one") {
  {
    Site plain(probe_group(1));
    Daemon daemon(plain);
    CHECK(daemon.status().text.find("\"bus\":null") != std::string::npos);
    CHECK(daemon.ctl({"status"}).text().find("bus  pid") == std::string::npos);
  }
  BusSite site;
  Daemon daemon(site);
  reach_all(daemon, "hello");
  REQUIRE(get(daemon.address("api"), "/set/value").ok());
  const std::string line = "bus  pid " + std::to_string(bus_of(daemon)) + "  memory ";
  const std::string counts = "\"keys\":1,\"topics\":1,\"subscriptions\":4";
  CHECK(becomes_true([&] { return daemon.status().text.find(counts) != std::string::npos; }, 20s));
  const std::string status = daemon.ctl({"status"}).text();
  INFO(status);
  CHECK(status.find(line) != std::string::npos);
  CHECK(status.find("/64M  keys 1  topics 1  subscriptions 4  messages ") != std::string::npos);
  CHECK(status.find("dropped 0  restarts 0\n") != std::string::npos);
}

TEST_CASE("a worker that passes sockets whose close waits holds up neither daemon nor bus") {
  BusSite site;
  Daemon daemon(site);
  daemon.expect_error("broke the channel");
  daemon.expect_error("SIGKILL");
  reach_all(daemon, "hello");
  const pid_t bus = bus_of(daemon);
  const Listener nobody_reads;
  try {
    static_cast<void>(get(daemon.address("api"), "/linger/" + nobody_reads.port()));
  } catch (const std::exception&) {
    // It is killed, perhaps before it has answered.
  }
  daemon.wait_for_log("broke the channel");
  daemon.wait_until_ready();
  CHECK(daemon.ctl({"status"}).exit.code == 0);
  CHECK(get(daemon.address("other"), "/get").body == "(none)");
  reach_all(daemon, "after");
  CHECK(bus_of(daemon) == bus);
}

TEST_CASE(
    "the bus runs only where a worker wants it, without privileges, and ends with the daemon") {
  {
    Site site(probe_group(1));
    Daemon daemon(site);
    REQUIRE(get(daemon.address(), "/").ok());
    CHECK(children_of(daemon.pid()).size() == 1);
  }
  BusSite site;
  Daemon daemon(site);
  reach_all(daemon, "hello");
  const pid_t bus = bus_of(daemon);
  CHECK(children_of(daemon.pid()).size() == 5);
  CHECK(status_field(bus, "NoNewPrivs") == "1");
  CHECK(status_field(bus, "CapEff") == "0000000000000000");
  daemon.stop();
  CHECK_FALSE(exists(bus));
}

TEST_CASE("a supervisor that is killed takes the bus along") {
  BusSite site;
  Daemon daemon(site);
  reach_all(daemon, "hello");
  const pid_t bus = bus_of(daemon);
  daemon.kill();
  CHECK(becomes_true(
      [&] {
        reap_orphans();
        return !exists(bus);
      },
      10s));
}

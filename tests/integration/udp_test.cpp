// Datagrams: each is served once, whatever the workers go through.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/daemon.hpp"

using namespace appserver::integration;

namespace {

std::filesystem::path build_of(const char* version) {
  return std::filesystem::path(APPSERVER_TEST_PLUGINS) / version / "datagrams.so";
}

std::string group(int count, const std::string& more = {},
                  const std::string& listen = "udp://127.0.0.1:0") {
  return "groups:\n  api:\n    plugin: datagrams\n    listen: '" + listen +
         "'\n    count: " + std::to_string(count) + "\n" + more;
}

class Client {
 public:
  explicit Client(const Endpoint& at) : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(at.port);
    REQUIRE(::inet_pton(AF_INET, at.host.c_str(), &address.sin_addr) == 1);
    REQUIRE(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)) == 0);
  }

  void send(const std::string& data) const {
    if (::send(socket_.get(), data.data(), data.size(), 0) != static_cast<ssize_t>(data.size()))
      throw std::runtime_error("send(): " + std::string(::strerror(errno)));
  }
  std::optional<std::string> receive(Deadline deadline = 15s) const {
    pollfd ready{socket_.get(), POLLIN, 0};
    if (::poll(&ready, 1, deadline.poll_timeout()) != 1) return std::nullopt;
    std::string data(70'000, '\0');
    const ssize_t size = ::recv(socket_.get(), data.data(), data.size(), 0);
    if (size < 0) return std::nullopt;
    data.resize(static_cast<std::size_t>(size));
    return data;
  }
  std::string ask(const std::string& data) const {
    send(data);
    return receive().value_or("(no answer)");
  }
  std::string own_name() const {
    sockaddr_in address{};
    socklen_t length = sizeof(address);
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }

 private:
  appserver::os::Fd socket_;
};

// Clients with a few datagrams under way each, far below what a socket's buffer holds; every one
// must be answered once.
class Storm {
 public:
  explicit Storm(const Endpoint& at, int clients = 4) {
    for (int i = 0; i < clients; ++i) threads_.emplace_back([this, at] { run(at); });
  }
  ~Storm() { end(); }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;

  void wait_for_more(std::size_t answers) const {
    const std::size_t before = answered_;
    eventually("more datagrams are answered", 30s,
               [&] { return answered_ >= before + answers || failed_; });
  }
  // Sent, but not answered once.
  std::size_t stop() {
    end();
    return wrong_;
  }
  std::size_t answered() const { return answered_; }

 private:
  static constexpr std::size_t kWindow = 4;

  void end() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  void run(const Endpoint& at) {
    std::map<std::string, int> asked;  // and how often it was answered
    std::size_t open = 0;
    // A socket for each few, so that all the group's sockets get their share.
    while (!stopping_ && !failed_) {
      const Client client(at);
      for (int turn = 0; turn < 50 && !failed_; ++turn) {
        for (; open < kWindow; ++open) {
          std::string text = std::to_string(next_++);
          client.send(text);
          asked[text] = 0;
        }
        while (open > 0 && take(client, asked, 10s)) --open;
        if (open > 0) failed_ = true;
      }
      // What comes now would be a second answer.
      take(client, asked, 0s);
      for (const auto& [text, answers] : asked) wrong_ += answers == 1 ? 0 : 1;
      asked.clear();
    }
  }

  bool take(const Client& client, std::map<std::string, int>& asked, Deadline deadline) {
    const auto answer = client.receive(deadline);
    if (!answer) return false;
    const auto found = asked.find(answer->substr(answer->find(' ') + 1));
    if (found == asked.end()) {
      ++wrong_;
    } else {
      ++found->second;
    }
    ++answered_;
    return true;
  }

  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> answered_{0};
  std::atomic<std::size_t> wrong_{0};
  std::vector<std::thread> threads_;
};

struct Running {
  explicit Running(int count, const std::string& more = {}) : site(group(count, more)) {
    site.install(build_of("v1"), "datagrams");
    daemon.emplace(site);
  }
  void reload_to(const char* version) {
    site.install(build_of(version), "datagrams");
    const Finished finished = daemon->ctl({"reload"});
    INFO(finished.text());
    REQUIRE(finished.exit.code == 0);
  }

  Site site;
  std::optional<Daemon> daemon;
};

}  // namespace

TEST_CASE("datagrams of every size are answered, the empty one and the longest included") {
  Running running(1);
  const Client client(running.daemon->address());
  CHECK(client.ask("hello") == "v1 hello");
  CHECK(client.ask("") == "");
  CHECK(client.ask("size" + std::string(65'503, 'x')) == "v1 65507");
  CHECK(client.ask(std::string(65'000, 'y')) == "v1 " + std::string(65'000, 'y'));
  CHECK(client.ask("where") == client.own_name() + " udp://127.0.0.1:0");
}

TEST_CASE("an answer leaves from the address that was asked, on a wildcard listener, too") {
  const std::string listen = GENERATE("udp://0.0.0.0:0", "udp://*:0");
  INFO(listen);
  Site site(group(1, {}, listen));
  site.install(build_of("v1"), "datagrams");
  Daemon daemon(site);
  Endpoint at = daemon.address();
  // A connected socket takes answers from this address alone, and the kernel would choose another.
  const appserver::os::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(at.port);
  address.sin_addr.s_addr = htonl(0x7F000002);
  REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
          0);
  sockaddr_in own{};
  socklen_t length = sizeof(own);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &length);
  REQUIRE(::send(socket.get(), "hi", 2, 0) == 2);
  pollfd ready{socket.get(), POLLIN, 0};
  REQUIRE(::poll(&ready, 1, 15'000) == 1);
  std::string data(100, '\0');
  const ssize_t size = ::recv(socket.get(), data.data(), data.size(), 0);
  REQUIRE(size > 0);
  CHECK(data.substr(0, static_cast<std::size_t>(size)) == "v1 hi");
}

TEST_CASE("a datagram over limits.max_message is cut, and the plugin is told") {
  Running running(1, "    limits: {max_message: 1KiB}\n");
  const Client client(running.daemon->address());
  CHECK(client.ask("size" + std::string(1'020, 'x')) == "v1 1024");
  CHECK(client.ask("size" + std::string(1'021, 'x')) == "v1 1024 truncated");
}

TEST_CASE("a burst of datagrams is answered, each once") {
  Running running(1);
  const Client client(running.daemon->address());
  std::map<std::string, int> answers;
  for (int i = 0; i < 100; ++i) client.send(std::to_string(i));
  for (int i = 0; i < 100; ++i) ++answers[client.receive().value_or("(no answer)")];
  CHECK(answers.size() == 100);
  CHECK(answers.count("(no answer)") == 0);
}

TEST_CASE("an exception in on_datagram is logged and counted, and the next one is served") {
  Running running(1);
  running.daemon->expect_error("as it was asked to");
  const Client client(running.daemon->address());
  client.send("throw");
  CHECK(client.ask("on") == "v1 on");
  running.daemon->wait_for_log("on_datagram: std::runtime_error: as it was asked to");
}

TEST_CASE("no datagram is lost or served twice over reload after reload") {
  Running running(2);
  Storm storm(running.daemon->address());
  storm.wait_for_more(200);
  for (int round = 0; round < 10; ++round) {
    running.reload_to(round % 2 == 0 ? "v2" : "v1");
    storm.wait_for_more(200);
  }
  CHECK(storm.stop() == 0);
  CHECK(storm.answered() > 2'000);
  CHECK(Client(running.daemon->address()).ask("last") == "v1 last");
}

TEST_CASE("no datagram is lost while a group grows and shrinks") {
  Running running(2);
  Storm storm(running.daemon->address());
  storm.wait_for_more(200);
  for (const char* const count : {"4", "1", "3", "2"}) {
    const Finished finished = running.daemon->ctl({"scale", "api", count});
    INFO(finished.text());
    REQUIRE(finished.exit.code == 0);
    storm.wait_for_more(200);
  }
  CHECK(storm.stop() == 0);
}

TEST_CASE("an answer that is still to come keeps the old worker until it is given") {
  Running running(1);
  const Client client(running.daemon->address());
  client.send("later 1500");
  CHECK(client.ask("in between") == "v1 in between");
  running.site.install(build_of("v2"), "datagrams");
  Process reload = running.daemon->begin_ctl({"reload"});
  CHECK(client.receive().value_or("(no answer)") == "v1 later");
  CHECK(reload.wait(60s) == Exit{0});
  CHECK(client.ask("now") == "v2 now");
}

TEST_CASE("what lies in the queue at a stop is answered first") {
  Running running(1);
  const Client client(running.daemon->address());
  CHECK(client.ask("one") == "v1 one");
  const pid_t worker = running.daemon->pids().front();
  // The worker is held up while the datagrams and the stop come.
  ::kill(worker, SIGSTOP);
  for (int i = 0; i < 40; ++i) client.send(std::to_string(i));
  running.daemon->process().signal(SIGTERM);
  running.daemon->wait_for_log("stop");
  ::kill(worker, SIGCONT);
  std::map<std::string, int> answers;
  for (int i = 0; i < 40; ++i) ++answers[client.receive().value_or("(no answer)")];
  CHECK(answers.size() == 40);
  CHECK(answers.count("(no answer)") == 0);
  running.daemon->has_ended(Exit{0, 0});
}

TEST_CASE("a plugin that takes no datagrams is refused on a udp:// listener, by name") {
  Site site("groups:\n  api:\n    plugin: probe\n    listen: 'udp://127.0.0.1:0'\n");
  DaemonOptions options;
  options.wait_until_ready = false;
  Daemon daemon(site, options);
  daemon.expect_error("api/0");
  daemon.wait_for_log(
      "the plugin does not take datagrams (no extension \"udp/1\"; in C++: no on_datagram), but "
      "the group listens on udp://127.0.0.1:0");
}

TEST_CASE("tcp and udp share a port number") {
  // On an address of its own: on 127.0.0.1 another test may have the number for TCP.
  const std::string own = "127.83.1.7";
  Site site(group(1, {}, "udp://" + own + ":0"));
  site.install(build_of("v1"), "datagrams");
  Daemon daemon(site);
  const std::string port = std::to_string(daemon.address().port);
  site.configure("groups:\n  api:\n    plugin: datagrams\n    listen: 'udp://" + own +
                 ":0'\n  web:\n    plugin: probe\n    listen: 'http://" + own + ":" + port + "'\n");
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  CHECK(finished.exit.code == 0);
  CHECK(Client(daemon.address()).ask("still") == "v1 still");
}

// Requests that coroutines answer: over reloads, and with clients that do not wait for them.
#include <atomic>
#include <catch2/catch.hpp>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

std::string group(int count, const std::string& more = {}) {
  return "groups:\n  api:\n    plugin: tasks\n    listen: 'http://127.0.0.1:0'\n    count: " +
         std::to_string(count) + "\n" + more;
}

void install(Site& site, const char* version) {
  site.install(std::filesystem::path(APPSERVER_TEST_PLUGINS) / version / "tasks.so", "tasks");
}

void reload_to(Daemon& daemon, Site& site, const char* version) {
  install(site, version);
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

// Clients that ask on one connection each until stop().
class Naps {
 public:
  Naps(const Endpoint& address, int clients) {
    for (int i = 0; i < clients; ++i)
      threads_.emplace_back([this, address, i] { run(address, i); });
  }
  ~Naps() { stop(); }
  Naps(const Naps&) = delete;
  Naps& operator=(const Naps&) = delete;

  void wait_for_more(std::size_t answers) {
    const std::size_t until = answers_ + answers;
    eventually("more answers have come", 60s, [&] { return answers_ >= until; });
  }

  std::vector<std::string> stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return failures_;
  }

 private:
  void run(const Endpoint& address, int number) {
    Connection connection(address);
    for (int i = 0; !stopping_; ++i) {
      const bool pieces = (i + number) % 3 == 0;
      const Response got = connection.get(
          pieces ? "/pieces" : "/nap?ms=" + std::to_string((i * 37 + number * 11) % 150));
      const std::string body = got.body.substr(0, 2);
      if (got.ok() && (body == "v1" || body == "v2") && got.body.size() == (pieces ? 20 : 2)) {
        ++answers_;
        continue;
      }
      const std::lock_guard lock(mutex_);
      failures_.push_back(got.text());
      return;
    }
    if (connection.connects() == 1) return;
    const std::lock_guard lock(mutex_);
    failures_.push_back("reconnected");
  }

  std::atomic<std::size_t> answers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<std::string> failures_;
  std::vector<std::thread> threads_;
};

void wait_for_staying(Connection& asker, const std::string& number) {
  std::string last;
  eventually(
      number + " requests stay", 20s, [&] { return (last = asker.get("/staying").body) == number; },
      [&] { return last; });
}

}  // namespace

TEST_CASE("requests that wait in coroutines are all answered over reload after reload") {
  Site site(group(2));
  install(site, "v1");
  Daemon daemon(site);
  Naps naps(daemon.address(), 12);
  naps.wait_for_more(50);
  for (int round = 0; round < 8; ++round) {
    reload_to(daemon, site, round % 2 == 0 ? "v2" : "v1");
    naps.wait_for_more(40);
  }
  CHECK(naps.stop() == std::vector<std::string>{});
}

TEST_CASE("coroutines of clients that leave end, and those of others go on") {
  Site site(group(1));
  install(site, "v1");
  Daemon daemon(site);
  Connection asker(daemon.address());
  std::vector<Connection> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(daemon.address());
    REQUIRE(clients.back().send("GET /stay HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  }
  wait_for_staying(asker, "20");
  for (std::size_t i = 0; i < 5; ++i) clients[i].close();
  wait_for_staying(asker, "15");
  for (std::size_t i = 5; i < 10; ++i) clients[i].shut_down_sending();
  wait_for_staying(asker, "10");
  for (std::size_t i = 5; i < 10; ++i) CHECK(clients[i].closed_by_server(10s));
  // Behind a request that nobody has read.
  REQUIRE(clients[10].send("GET /staying HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  clients[10].close();
  wait_for_staying(asker, "9");
  for (std::size_t i = 11; i < 20; ++i) clients[i].close();
  wait_for_staying(asker, "0");
  CHECK(asker.get("/nap").ok());
}

TEST_CASE("a coroutine that is not done when the time of a drain is over is cut") {
  Site site(group(1, "    reload: {drain_timeout: 1s}\n"));
  install(site, "v1");
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.send("GET /stay HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  Connection asker(daemon.address());
  wait_for_staying(asker, "1");
  install(site, "v2");
  daemon.expect_error("1 connection was cut while draining");
  CHECK(daemon.ctl({"reload"}).exit.code == 5);
  CHECK(client.closed_by_server(20s));
  CHECK(asker.get("/nap").body == "v2");
}

TEST_CASE("a late exception of a coroutine is 500 and in the log, and the worker lives") {
  Site site(group(1));
  install(site, "v1");
  Daemon daemon(site);
  daemon.expect_error("out of cheese");
  Connection client(daemon.address());
  const auto pids = daemon.pids();
  CHECK(client.get("/throw").status == 500);
  daemon.wait_for_log("on_request: std::runtime_error: out of cheese (GET /throw)");
  CHECK(client.get("/nap").body == "v1");
  CHECK(daemon.pids() == pids);
  CHECK(client.connects() == 1);
}

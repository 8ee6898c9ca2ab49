// A library that wants a foreign event loop, hiredis, on a worker's: with a real Redis.
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "os/unix_socket.hpp"
#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

// A server of its own, that keeps nothing on disk.
class RedisServer {
 public:
  explicit RedisServer(const Site& site) : socket_(site.root() / "redis.sock") { start(); }
  void start() {
    process_ = std::make_unique<Process>(
        std::vector<std::string>{"redis-server", "--port", "0", "--unixsocket", socket_.native(),
                                 "--save", "", "--appendonly", "no"},
        SpawnOptions{.environment = {}, .directory = socket_.parent_path(), .user = {}});
    const bool listens = becomes_true(
        [&] {
          return appserver::os::find_occupant(socket_).kind ==
                 appserver::os::Occupant::Kind::listening;
        },
        10s);
    INFO(process_->out() << process_->err());
    REQUIRE(listens);
  }
  void stop() {
    process_->signal(SIGTERM);
    REQUIRE(process_->wait(10s));
  }

 private:
  std::filesystem::path socket_;
  std::unique_ptr<Process> process_;
};

struct RedisSite : Site {
  RedisSite() : Site("groups: {}\n") {
    install(std::filesystem::path(APPSERVER_TEST_PLUGINS) / "redis.so", "redis");
    configure(
        "groups:\n  api:\n    plugin: redis\n    listen: http://127.0.0.1:0\n    count: 2\n"
        "    settings: {redis: '" +
        (root() / "redis.sock").native() + "'}\n");
  }
};

}  // namespace

TEST_CASE("a library with an interface to foreign event loops runs on the worker's loop") {
  RedisSite site;
  RedisServer redis(site);
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address();
  CHECK(get(endpoint, "/?SET+name+value").body == "OK");
  CHECK(get(endpoint, "/?GET+name").body == "value");
  CHECK(get(endpoint, "/?GET+nothing").body == "(nil)");
  CHECK(get(endpoint, "/?INCR+name").status == 500);
  // More than a socket's buffers hold, in both directions.
  CHECK(get(endpoint, "/?SETRANGE+large+2999999+x").body == "3000000");
  CHECK(get(endpoint, "/?GET+large").body.size() == 3'000'000);
}

TEST_CASE("what other clients ask over a watched descriptor is answered over reloads, each once") {
  RedisSite site;
  RedisServer redis(site);
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address();
  std::atomic<bool> stop{false};
  std::atomic<int> right{0};
  std::vector<std::string> wrong(4);
  std::vector<std::thread> clients;
  for (std::string& mine : wrong) {
    clients.emplace_back([&] {
      Connection connection(endpoint);
      while (!stop && mine.empty()) {
        const Response response = connection.get("/?INCR+count");
        if (!response.ok()) mine = response.text();
        ++right;
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    const int before = right;
    const bool goes_on = becomes_true([&] { return right > before + 50; }, 20s);
    const Finished reload = daemon.ctl({"reload"});
    INFO(reload.text());
    CHECK(goes_on);
    CHECK(reload.exit.code == 0);
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  for (const std::string& text : wrong) CHECK(text.empty());
  CHECK(get(endpoint, "/?GET+count").body == std::to_string(right));
}

TEST_CASE("a server behind a watched descriptor that goes and comes back is noticed both times") {
  RedisSite site;
  RedisServer redis(site);
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address();
  REQUIRE(get(endpoint, "/?SET+name+value").body == "OK");
  redis.stop();
  CHECK(becomes_true([&] { return get(endpoint, "/?GET+name").status >= 500; }, 20s));
  redis.start();
  CHECK(becomes_true([&] { return get(endpoint, "/?GET+name").body == "(nil)"; }, 20s));
  daemon.expect_error("on_request");
  // It was started after the daemon, whose end must leave no process behind.
  redis.stop();
}

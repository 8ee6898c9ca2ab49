#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "hosting.hpp"
#include "plugin/bad_plugin.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

std::string fixture(const std::string& name) {
  return fmt::format("{}/{}.so", APPSERVER_FIXTURES, name);
}

}  // namespace

TEST_CASE("the hooks run in their order") {
  Hosting hosting;
  hosting.start();
  CHECK(hosting.plugin.speaks_http());
  hosting.plugin.kept();
  hosting.plugin.stop();
  CHECK(hosting.hooks == std::vector<std::string>{"create", "on_worker_start", "on_worker_reload",
                                                  "on_worker_stop", "destroy"});
  CHECK(hosting.page.hook.load() == telemetry::Hook::none);
}

TEST_CASE("a plugin that cannot start is told apart by its own words, and is destroyed") {
  Hosting hosting;
  SECTION("in on_worker_start") {
    hosting.at_start = APPSERVER_ERROR;
    hosting.on_start = [&] { hosting.host->report_error(hosting.worker, view("no database")); };
    hosting.plugin.load();
    CHECK_THROWS_WITH(hosting.plugin.start(hosting.server, hosting.streams),
                      "on_worker_start: no database");
    CHECK(hosting.hooks == std::vector<std::string>{"create", "on_worker_start", "destroy"});
  }
  SECTION("in create, where nothing is there to destroy") {
    hosting.at_create = APPSERVER_ERROR;
    hosting.plugin.load();
    CHECK_THROWS_WITH(hosting.plugin.start(hosting.server, hosting.streams),
                      "create failed without a reason");
    CHECK(hosting.hooks == std::vector<std::string>{"create"});
  }
}

TEST_CASE("plugins in C are hosted, good and bad") {
  Hosting good(fixture("answers"));
  good.start();
  Client client = good.connect();
  client.send(get("/"));
  REQUIRE(good.answered(client, 1));
  CHECK(client.bodies.back() == "answers");
  Hosting bad(fixture("fails_at_start"));
  bad.plugin.load();
  CHECK_THROWS_WITH(bad.plugin.start(bad.server, bad.streams),
                    "on_worker_start: prices.db: not found");
  Hosting none(fixture("no_symbol"));
  CHECK_THROWS_AS(none.plugin.load(), plugin::BadPlugin);
}

TEST_CASE("a plugin learns who it is, and its settings") {
  Hosting hosting;
  hosting.start();
  const appserver_worker_info& info = *hosting.host->info(hosting.worker);
  CHECK(info.slot == 3);
  CHECK(info.generation == 7);
  CHECK(text(info.group) == "shop");
  CHECK(text(info.build) == "abc");
  appserver_str value{};
  CHECK(hosting.host->setting(hosting.worker, view("db.host"), &value) == APPSERVER_OK);
  CHECK(text(value) == "local");
  CHECK(hosting.host->setting(hosting.worker, view("db.port"), &value) == APPSERVER_NOT_FOUND);
  CHECK(hosting.host->extension("websocket/9") == nullptr);
}

TEST_CASE("a request that a plugin fails is a 500 and a line in the log with its reason") {
  Hosting hosting;
  hosting.start();
  hosting.on = [&](const appserver_http_request*, appserver_exchange) {
    hosting.host->report_error(hosting.worker, view("out of stock"));
    return APPSERVER_ERROR;
  };
  Client client = hosting.connect();
  client.send(get("/buy"));
  REQUIRE(hosting.answered(client, 1));
  CHECK(client.got("HTTP/1.1 500 "));
  CHECK_FALSE(client.got("out of stock"));
  CHECK(hosting.next_log() == "3on_request: out of stock (GET /buy)");
  CHECK(hosting.page.failed.get() == 1);
}

TEST_CASE("metrics have names, kinds and a bound, and take additions from every thread") {
  Hosting hosting;
  hosting.start();
  const auto& host = *hosting.host;
  appserver_worker* const worker = hosting.worker;
  const appserver_metric orders = host.metric(worker, APPSERVER_METRIC_COUNTER, view("orders"));
  const appserver_metric depth = host.metric(worker, APPSERVER_METRIC_GAUGE, view("_depth_2"));
  REQUIRE(orders != 0);
  REQUIRE(depth != 0);
  CHECK(host.metric(worker, APPSERVER_METRIC_COUNTER, view("orders")) == orders);
  CHECK(host.metric(worker, APPSERVER_METRIC_GAUGE, view("orders")) == 0);
  CHECK(host.metric(worker, 2, view("other")) == 0);
  for (const std::string name : {"", "2x", "Orders", "a-b", "a b"}) {
    CHECK(host.metric(worker, APPSERVER_METRIC_COUNTER, view(name)) == 0);
  }
  CHECK(host.metric(worker, APPSERVER_METRIC_COUNTER, view(std::string(47, 'x'))) != 0);
  CHECK(host.metric(worker, APPSERVER_METRIC_COUNTER, view(std::string(48, 'x'))) == 0);

  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1'000; ++j) host.metric_add(worker, orders, 1);
    });
  }
  for (auto& thread : threads) thread.join();
  host.metric_add(worker, orders, -5);
  host.metric_set(worker, orders, 9);
  host.metric_set(worker, depth, 9);
  host.metric_add(worker, depth, -2);
  host.metric_add(worker, 0, 1);
  host.metric_add(worker, 1'000, 1);
  CHECK(hosting.page.metrics[orders - 1].value.load() == 4'000);
  CHECK(hosting.page.metrics[depth - 1].value.load() == 7);
  for (int i = 0; i < 61; ++i) {
    CHECK(host.metric(worker, APPSERVER_METRIC_GAUGE, view("m" + std::to_string(i))) != 0);
  }
  CHECK(host.metric(worker, APPSERVER_METRIC_GAUGE, view("one_too_many")) == 0);
}

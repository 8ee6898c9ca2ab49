#include "worker/plugin_host.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "http_server_harness.hpp"
#include "plugin/bad_plugin.hpp"
#include "scripted_plugin.hpp"

using namespace appserver;
using test::answer_of;
using test::Client;
using test::get;

namespace {

appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

channel::Boot boot_of(const std::string& file, const std::string& settings) {
  channel::Boot boot;
  boot.slot = 3;
  boot.generation = 7;
  boot.plugin_file = file;
  boot.build = "abc";
  boot.group.name = "shop";
  boot.group.settings = settings;
  return boot;
}

// A worker without its process: host, server and one scripted plugin.
struct Hosting final : test::ScriptedPlugin {
  explicit Hosting(const std::string& file = APPSERVER_SCRIPTED_PLUGIN)
      : Hosting(os::make_socket_pair(SOCK_SEQPACKET), file) {}

  void start() {
    plugin.load();
    plugin.start(server);
  }

  Client connect() {
    auto [served, client] = os::make_socket_pair(SOCK_STREAM);
    server.serve(std::move(served));
    return Client(std::move(client));
  }

  template <typename State>
  bool until(State&& state) {
    return test::run_until(context, state);
  }

  bool answered(Client& client, std::size_t answers) {
    return until([&] {
      client.read_all();
      return client.answers() >= answers;
    });
  }

  std::string next_log() {
    os::Packet packet;
    return os::receive_packet(supervisor.get(), 64 * 1024, packet) == os::ReceiveResult::received
               ? packet.data
               : "";
  }

  std::int32_t create(const appserver_host* its_host,
                      appserver_worker* its_worker) noexcept override {
    hooks.push_back("create");
    host = its_host;
    worker = its_worker;
    http = static_cast<const appserver_http_host*>(host->extension(APPSERVER_HTTP));
    return at_create;
  }
  void destroy() noexcept override { hooks.push_back("destroy"); }
  std::int32_t on_worker_start() noexcept override {
    hooks.push_back("on_worker_start");
    if (on_start) on_start();
    return at_start;
  }
  void on_worker_reload() noexcept override { hooks.push_back("on_worker_reload"); }
  void on_worker_stop() noexcept override {
    hooks.push_back("on_worker_stop");
    if (on_stop) on_stop();
  }
  std::int32_t on_request(const appserver_http_request* request,
                          appserver_exchange exchange) noexcept override {
    exchanges.push_back(exchange);
    return on(request, exchange);
  }

  boost::asio::io_context context{1};
  os::Fd supervisor;
  telemetry::WorkerPage page;
  channel::Boot boot;
  worker::WorkerLog log;
  worker::PluginHost plugin{context, boot, page, log};
  net::HttpServer server{context, test::small_limits(), plugin, page};

  const appserver_host* host = nullptr;
  appserver_worker* worker = nullptr;
  const appserver_http_host* http = nullptr;
  std::int32_t at_create = APPSERVER_OK;
  std::int32_t at_start = APPSERVER_OK;
  std::function<void()> on_start;
  std::function<void()> on_stop;
  std::vector<std::string> hooks;
  std::vector<appserver_exchange> exchanges;
  std::function<std::int32_t(const appserver_http_request*, appserver_exchange)> on =
      [this](const appserver_http_request*, appserver_exchange exchange) {
        return http->defer(worker, exchange);
      };

 private:
  Hosting(std::pair<os::Fd, os::Fd> pair, const std::string& file)
      : supervisor(std::move(pair.first)),
        boot(boot_of(file, fmt::format(R"({{"script":{},"db":{{"host":"local"}}}})",
                                       reinterpret_cast<std::uintptr_t>(
                                           static_cast<test::ScriptedPlugin*>(this))))),
        log(std::move(pair.second), config::LogLevel::debug, page) {}
};

std::string fixture(const std::string& name) {
  return fmt::format("{}/{}.so", APPSERVER_FIXTURES, name);
}

void count(void* argument) noexcept { ++*static_cast<int*>(argument); }

// Waits for `thread`'s work while the loop runs.
template <typename Work>
void run_beside(Hosting& hosting, Work&& work) {
  std::atomic<bool> done{false};
  std::thread thread([&] {
    work();
    done = true;
  });
  const bool in_time = hosting.until([&] { return done.load(); });
  thread.join();
  CHECK(in_time);
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
    CHECK_THROWS_WITH(hosting.plugin.start(hosting.server), "on_worker_start: no database");
    CHECK(hosting.hooks == std::vector<std::string>{"create", "on_worker_start", "destroy"});
  }
  SECTION("in create, where nothing is there to destroy") {
    hosting.at_create = APPSERVER_ERROR;
    hosting.plugin.load();
    CHECK_THROWS_WITH(hosting.plugin.start(hosting.server), "create failed without a reason");
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
  CHECK_THROWS_WITH(bad.plugin.start(bad.server), "on_worker_start: prices.db: not found");
  Hosting none(fixture("no_symbol"));
  CHECK_THROWS_AS(none.plugin.load(), plugin::BadPlugin);
}

TEST_CASE("a plugin learns who it is, and its settings") {
  Hosting hosting;
  hosting.start();
  const appserver_worker_info& info = *hosting.host->info(hosting.worker);
  CHECK(info.slot == 3);
  CHECK(info.generation == 7);
  CHECK(test::text(info.group) == "shop");
  CHECK(test::text(info.build) == "abc");
  appserver_str value{};
  CHECK(hosting.host->setting(hosting.worker, view("db.host"), &value) == APPSERVER_OK);
  CHECK(test::text(value) == "local");
  CHECK(hosting.host->setting(hosting.worker, view("db.port"), &value) == APPSERVER_NOT_FOUND);
  CHECK(hosting.host->extension("websocket/9") == nullptr);
}

TEST_CASE(
    "timers fire once or repeatedly, can be cancelled from their own call, and stop with the "
    "worker") {
  Hosting hosting;
  hosting.start();
  const auto& host = *hosting.host;
  int once = 0;
  int cancelled = 0;
  CHECK(host.timer_start(hosting.worker, 1, 0, count, &once) != 0);
  const appserver_timer never = host.timer_start(hosting.worker, 0, 0, count, &cancelled);
  CHECK(host.timer_cancel(hosting.worker, never) == APPSERVER_OK);
  CHECK(host.timer_cancel(hosting.worker, never) == APPSERVER_NOT_FOUND);
  struct Repeating {
    Hosting& hosting;
    appserver_timer id = 0;
    int fired = 0;
  } repeating{hosting};
  repeating.id = host.timer_start(
      hosting.worker, 1, 1,
      [](void* argument) noexcept {
        auto& self = *static_cast<Repeating*>(argument);
        if (++self.fired == 5) self.hosting.host->timer_cancel(self.hosting.worker, self.id);
      },
      &repeating);
  int last = 0;
  REQUIRE(hosting.until([&] { return repeating.fired == 5 && once == 1; }));
  host.timer_start(hosting.worker, 20, 0, count, &last);
  REQUIRE(hosting.until([&] { return last == 1; }));
  CHECK(repeating.fired == 5);
  CHECK(once == 1);
  CHECK(cancelled == 0);
  CHECK(host.timer_cancel(hosting.worker, repeating.id) == APPSERVER_NOT_FOUND);

  int after_stop = 0;
  host.timer_start(hosting.worker, 0, 1, count, &after_stop);
  host.post(hosting.worker, count, &after_stop);
  hosting.plugin.stop();
  CHECK(host.timer_start(hosting.worker, 0, 0, count, &after_stop) == 0);
  CHECK(host.post(hosting.worker, count, &after_stop) == APPSERVER_GONE);
  test::settle(hosting.context);
  CHECK(after_stop == 0);
}

TEST_CASE("timers and posted calls have bounds") {
  Hosting hosting;
  hosting.start();
  int calls = 0;
  for (std::size_t i = 0; i < worker::PluginHost::kMaxTimers; ++i) {
    REQUIRE(hosting.host->timer_start(hosting.worker, 1'000'000, 0, count, &calls) != 0);
  }
  CHECK(hosting.host->timer_start(hosting.worker, 0, 0, count, &calls) == 0);
  for (std::size_t i = 0; i < worker::PluginHost::kMaxPosted; ++i) {
    REQUIRE(hosting.host->post(hosting.worker, count, &calls) == APPSERVER_OK);
  }
  CHECK(hosting.host->post(hosting.worker, count, &calls) == APPSERVER_LIMIT);
  CHECK(calls == 0);
  REQUIRE(hosting.until([&] { return calls == static_cast<int>(worker::PluginHost::kMaxPosted); }));
  CHECK(hosting.host->post(hosting.worker, count, &calls) == APPSERVER_OK);
}

TEST_CASE("calls posted from many threads all run on the loop, each thread's in order") {
  Hosting hosting;
  hosting.start();
  struct Sent {
    std::vector<int>* order;
    std::thread::id loop;
    std::atomic<int>* wrong;
    int number;
  };
  constexpr int kEach = 2'000;
  const auto loop = std::this_thread::get_id();
  std::atomic<int> wrong{0};
  std::array<std::vector<int>, 4> orders;
  std::array<std::vector<Sent>, 4> sent;
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    for (int i = 0; i < kEach; ++i) sent[thread].push_back({&orders[thread], loop, &wrong, i});
    threads.emplace_back([&, thread] {
      for (Sent& one : sent[thread]) {
        hosting.host->post(
            hosting.worker,
            [](void* argument) noexcept {
              const auto& self = *static_cast<Sent*>(argument);
              self.order->push_back(self.number);
              if (std::this_thread::get_id() != self.loop) ++*self.wrong;
            },
            &one);
      }
    });
  }
  CHECK(hosting.until([&] {
    return std::ranges::all_of(orders, [](const auto& order) { return order.size() == kEach; });
  }));
  for (auto& thread : threads) thread.join();
  for (const auto& order : orders) CHECK(std::ranges::is_sorted(order));
  CHECK(wrong == 0);
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

TEST_CASE("another thread may answer a deferred request, once") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/") + get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  run_beside(hosting, [&] {
    const auto& http = *hosting.http;
    CHECK(http.alive(hosting.worker, exchange) == APPSERVER_OK);
    CHECK(http.defer(hosting.worker, exchange) == APPSERVER_INVALID);
    const auto bad = answer_of("x", 42);
    CHECK(http.respond(hosting.worker, exchange, &bad) == APPSERVER_INVALID);
    CHECK(http.write(hosting.worker, exchange, view("x")) == APPSERVER_INVALID);
    CHECK(http.finish(hosting.worker, exchange) == APPSERVER_INVALID);
    const std::string body = "from a thread";
    const auto good = answer_of(body);
    CHECK(http.respond(hosting.worker, exchange, &good) == APPSERVER_OK);
    CHECK(http.respond(hosting.worker, exchange, &good) == APPSERVER_GONE);
    CHECK(http.alive(hosting.worker, exchange) == APPSERVER_GONE);
  });
  REQUIRE(hosting.answered(client, 1));
  CHECK(client.bodies.back() == "from a thread");
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 2; }));
}

TEST_CASE("another thread may stream far more than the bounds, to a client that reads") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  const std::string piece(100'000, 'p');
  constexpr std::size_t kPieces = 100;
  std::atomic<bool> done{false};
  std::atomic<int> limits{0};
  std::atomic<int> errors{0};
  std::thread thread([&] {
    const auto& http = *hosting.http;
    const auto head = answer_of("");
    if (http.start(hosting.worker, exchange, &head, kPieces * 100'000) != APPSERVER_OK) ++errors;
    for (std::size_t i = 0; i < kPieces;) {
      const auto result = http.write(hosting.worker, exchange, view(piece));
      if (result == APPSERVER_OK) {
        ++i;
      } else if (result == APPSERVER_LIMIT) {
        ++limits;
        std::this_thread::yield();
      } else {
        ++errors;
        break;
      }
    }
    if (http.write(hosting.worker, exchange, view("x")) != APPSERVER_INVALID) ++errors;
    if (http.finish(hosting.worker, exchange) != APPSERVER_OK) ++errors;
    done = true;
  });
  const bool all = hosting.until([&] {
    // Slowly enough to reach the bound.
    client.read_once();
    return done.load() && client.received.size() > kPieces * piece.size();
  });
  thread.join();
  REQUIRE(all);
  REQUIRE(hosting.answered(client, 1));
  CHECK(errors == 0);
  CHECK(limits > 0);
  CHECK(client.bodies.back().size() == kPieces * piece.size());
  CHECK_FALSE(client.closed);
}

TEST_CASE("a stream from another thread that ends short, or is aborted, is cut") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  const bool finish = GENERATE(true, false);
  run_beside(hosting, [&] {
    const auto& http = *hosting.http;
    const auto head = answer_of("ab");
    CHECK(http.start(hosting.worker, exchange, &head, 1) == APPSERVER_INVALID);
    CHECK(http.start(hosting.worker, exchange, &head, 10) == APPSERVER_OK);
    CHECK(http.start(hosting.worker, exchange, &head, 10) == APPSERVER_INVALID);
    CHECK(http.respond(hosting.worker, exchange, &head) == APPSERVER_INVALID);
    CHECK(http.write(hosting.worker, exchange, view("123456789")) == APPSERVER_INVALID);
    if (finish) {
      CHECK(http.finish(hosting.worker, exchange) == APPSERVER_INVALID);
    } else {
      CHECK(http.abort(hosting.worker, exchange) == APPSERVER_OK);
    }
    CHECK(http.write(hosting.worker, exchange, view("1")) == APPSERVER_GONE);
  });
  CHECK(hosting.until([&] {
    client.read_all();
    return client.closed;
  }));
  CHECK(client.answers() == 0);
  CHECK(hosting.page.in_flight.get() == 0);
}

TEST_CASE("a thread learns that the client is gone") {
  Hosting hosting;
  hosting.start();
  Client client = hosting.connect();
  client.send(get("/"));
  REQUIRE(hosting.until([&] { return hosting.exchanges.size() == 1; }));
  const appserver_exchange exchange = hosting.exchanges[0];
  hosting.server.cut();
  run_beside(hosting, [&] {
    const auto answer = answer_of("x");
    CHECK(hosting.http->alive(hosting.worker, exchange) == APPSERVER_GONE);
    CHECK(hosting.http->respond(hosting.worker, exchange, &answer) == APPSERVER_GONE);
    CHECK(hosting.http->start(hosting.worker, exchange, &answer, -1) == APPSERVER_GONE);
    CHECK(hosting.http->abort(hosting.worker, exchange) == APPSERVER_GONE);
  });
}

TEST_CASE("threads that answer many connections at once mix nothing up") {
  Hosting hosting;
  hosting.start();
  struct Job {
    appserver_exchange exchange;
    std::string body;
  };
  std::vector<Job> jobs;
  hosting.on = [&](const appserver_http_request* request, appserver_exchange exchange) {
    jobs.push_back({exchange, std::string(test::text(request->path))});
    return hosting.http->defer(hosting.worker, exchange);
  };
  std::vector<Client> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(hosting.connect());
    clients.back().send(get("/" + std::to_string(i)));
  }
  REQUIRE(hosting.until([&] { return jobs.size() == 40; }));
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < jobs.size(); i += 4) {
        const auto answer = answer_of(jobs[i].body);
        hosting.http->respond(hosting.worker, jobs[i].exchange, &answer);
      }
    });
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    CHECK(hosting.answered(clients[i], 1));
    CHECK(clients[i].bodies == std::vector<std::string>{"/" + std::to_string(i)});
  }
  for (auto& thread : threads) thread.join();
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

#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "os/message_socket.hpp"
#include "scripted_plugin.hpp"
#include "worker/plugin_host.hpp"

using namespace appserver;

namespace {

channel::Boot boot_of(const std::string& file, const std::string& settings) {
  channel::Boot boot;
  boot.purpose = channel::Purpose::preflight;
  boot.plugin_file = file;
  boot.group.name = "shop";
  boot.group.settings = settings;
  return boot;
}

// A process that tries a build, without the process.
struct Trial final : test::ScriptedPlugin {
  explicit Trial(const std::string& file = APPSERVER_SCRIPTED_PLUGIN)
      : Trial(os::make_socket_pair(SOCK_SEQPACKET), file) {}

  void run() {
    plugin.load();
    plugin.self_check();
  }

  std::int32_t create(const appserver_host* its_host,
                      appserver_worker* its_worker) noexcept override {
    saw("create");
    host = its_host;
    worker = its_worker;
    return at_create;
  }
  void destroy() noexcept override { saw("destroy"); }
  std::int32_t self_check() noexcept override {
    saw("self_check");
    return check ? check() : APPSERVER_OK;
  }
  std::int32_t on_worker_start() noexcept override {
    saw("on_worker_start");
    return APPSERVER_OK;
  }
  void on_worker_reload() noexcept override { saw("on_worker_reload"); }
  void on_worker_stop() noexcept override { saw("on_worker_stop"); }
  std::int32_t on_request(const appserver_http_request*, appserver_exchange) noexcept override {
    return APPSERVER_OK;
  }

  std::int32_t refuse(std::string_view why) {
    host->report_error(worker, {why.data(), why.size()});
    return APPSERVER_ERROR;
  }

  std::function<std::int32_t()> check;
  std::int32_t at_create = APPSERVER_OK;
  const appserver_host* host = nullptr;
  appserver_worker* worker = nullptr;
  std::vector<std::string> hooks;  // with the page's word for each
  alignas(telemetry::WorkerPage) std::array<std::byte, sizeof(telemetry::WorkerPage)> memory{};
  telemetry::WorkerPage& page = telemetry::WorkerPage::create_in(memory);
  boost::asio::io_context context{1};
  os::Fd supervisor;
  channel::Boot boot;
  worker::WorkerLog log;
  worker::PluginHost plugin;

 private:
  Trial(std::pair<os::Fd, os::Fd> logs, const std::string& file)
      : supervisor(std::move(logs.first)),
        boot(boot_of(file, "{\"script\":\"" +
                               std::to_string(reinterpret_cast<std::uintptr_t>(
                                   static_cast<test::ScriptedPlugin*>(this))) +
                               "\"}")),
        log(std::move(logs.second), config::LogLevel::debug, page),
        plugin(context, boot, page, log) {}

  void saw(const std::string& hook) {
    hooks.push_back(hook == telemetry::to_string(page.hook.load()) ? hook : "unmarked " + hook);
  }
};

}  // namespace

TEST_CASE("a build is tried by create, self_check and destroy, and never started") {
  Trial trial;
  trial.run();
  CHECK(trial.hooks == std::vector<std::string>{"create", "self_check", "destroy"});
}

TEST_CASE("a self_check that fails refuses the build with the plugin's own reason") {
  Trial trial;
  SECTION("given") {
    trial.check = [&] { return trial.refuse("prices.db: not found"); };
    CHECK_THROWS_WITH(trial.run(), "self_check: prices.db: not found");
  }
  SECTION("given by the C++ layer, which names the hook itself") {
    trial.check = [&] { return trial.refuse("self_check: std::runtime_error: no prices"); };
    CHECK_THROWS_WITH(trial.run(), "self_check: std::runtime_error: no prices");
  }
  SECTION("kept to itself") {
    trial.check = [] { return APPSERVER_ERROR; };
    CHECK_THROWS_WITH(trial.run(), "self_check: failed without a reason");
  }
  CHECK(trial.hooks == std::vector<std::string>{"create", "self_check", "destroy"});
}

TEST_CASE("a create that fails refuses the build, and nothing else of it runs") {
  Trial trial;
  trial.at_create = APPSERVER_ERROR;
  CHECK_THROWS_WITH(trial.run(), "create failed without a reason");
  CHECK(trial.hooks == std::vector<std::string>{"create"});
}

TEST_CASE("a plugin without self_check is not even created to be checked") {
  const std::string fixtures = APPSERVER_FIXTURES;
  for (const auto* name : {"/fails_at_start.so", "/frozen_1_0.so"}) {
    Trial trial(fixtures + name);
    trial.run();
    CHECK(trial.hooks.empty());
  }
}

TEST_CASE("the fixture with an empty price list is refused") {
  Trial trial(std::string(APPSERVER_FIXTURES) + "/fails_self_check.so");
  CHECK_THROWS_WITH(trial.run(), "self_check: the price list is empty");
}

TEST_CASE("where nothing is served, no exchange exists, on the loop or off it") {
  Trial trial;
  std::vector<std::int32_t> results;
  const auto call_all = [&] {
    const auto& http =
        *static_cast<const appserver_http_host*>(trial.host->extension(APPSERVER_HTTP));
    appserver_http_response response{};
    response.size = sizeof(response);
    response.status = 200;
    results.push_back(http.respond(trial.worker, 1, &response));
    results.push_back(http.start(trial.worker, 1, &response, -1));
    results.push_back(http.write(trial.worker, 1, {"x", 1}));
    results.push_back(http.finish(trial.worker, 1));
    results.push_back(http.abort(trial.worker, 1));
    results.push_back(http.alive(trial.worker, 1));
  };
  trial.check = [&] {
    call_all();
    std::thread(call_all).join();
    const auto& http =
        *static_cast<const appserver_http_host*>(trial.host->extension(APPSERVER_HTTP));
    results.push_back(http.defer(trial.worker, 1));
    return APPSERVER_OK;
  };
  trial.run();
  CHECK(results == std::vector<std::int32_t>(13, APPSERVER_GONE));
}

TEST_CASE("timers and posted calls of a self_check never run") {
  Trial trial;
  bool ran = false;
  const auto run = [](void* flag) noexcept { *static_cast<bool*>(flag) = true; };
  trial.check = [&] {
    CHECK(trial.host->post(trial.worker, run, &ran) == APPSERVER_OK);
    CHECK(trial.host->timer_start(trial.worker, 0, 0, run, &ran) != 0);
    return APPSERVER_OK;
  };
  trial.run();
  trial.context.run();
  CHECK_FALSE(ran);
}

// A control server over commands that the test decides about, on a thread of its own, in a folder
// of its own.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/server.hpp"

namespace appserver::control {

inline constexpr std::chrono::seconds kPatience{20};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "appserver-XXXXXX").native();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline Status sample_status() {
  WorkerStatus ready{.slot = 0,
                     .pid = 123,
                     .state = WorkerState::ready,
                     .generation = 41,
                     .build = "7be2d44aa001"};
  ready.uptime = std::chrono::hours(74);
  ready.requests = 12'400'000;
  ready.in_flight = 3;
  ready.connections = 2;
  ready.rss_bytes = 141ull << 20;
  ready.metrics = {{"queue", 1.5}};
  WorkerStatus fallen{
      .slot = 1, .state = WorkerState::crash_loop, .generation = 40, .build = "7be2d44aa001"};
  fallen.restarts = 5;
  fallen.last_exit = "SIGSEGV in on_request, build 7be2d44";
  fallen.next_try = std::chrono::milliseconds(8500);
  fallen.lends_to = 0;
  GroupStatus group{
      .name = "hello", .listen = {"http://127.0.0.1:8080"}, .plugin = "/opt/plugins/hello.so"};
  group.count = 2;
  group.ready = 1;
  group.build = BuildStatus{"7be2d44aa0010203", "c0ffee", "hello", "1.0.0", "1.0"};
  group.state = GroupState::crash_loop;
  group.restarts = 5;
  group.workers = {ready, fallen};
  GroupStatus kept{.name = "gateway", .reloadable = false};
  Status status{{"1.2.3", ::getpid(), std::chrono::hours(292), "/etc/app.yaml",
                 DaemonState::running, "/run/x.sock"},
                {group, kept}};
  return status;
}

inline RolloutEvent done_event(RolloutResult result, std::string text = "finished") {
  RolloutEvent event;
  event.kind = EventKind::done;
  event.text = std::move(text);
  event.result = result;
  return event;
}

// Does what its members say. They are called on the loop; set them before that, or through
// FakeDaemon::on_loop.
class FakeCommands final : public Commands {
 public:
  std::function<Status()> on_status = sample_status;
  std::function<void(const ReloadRequest&, std::shared_ptr<EventStream>)> on_reload =
      [](const ReloadRequest&, const std::shared_ptr<EventStream>& events) {
        events->send(done_event(RolloutResult::done));
      };
  std::function<void(const RestartRequest&, std::shared_ptr<EventStream>)> on_restart;
  std::function<void(const StopRequest&)> on_stop = [](const StopRequest&) {};
  std::optional<Peer> last_peer;

  Status status() override { return on_status(); }
  void reload(ReloadRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_reload(request, std::move(events));
  }
  void restart(RestartRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_restart(request, std::move(events));
  }
  void stop(StopRequest request, Peer peer) override {
    last_peer = peer;
    on_stop(request);
  }
};

class FakeDaemon {
 public:
  explicit FakeDaemon(ServerOptions options = {}) : work_(context_.get_executor()) {
    options.socket = folder_ / "control.sock";
    options_ = std::move(options);
    create_server_here();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~FakeDaemon() {
    destroy_server();
    work_.reset();
    context_.stop();
    thread_.join();
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  const std::filesystem::path& socket() const { return options_.socket; }
  Server& server() { return *server_; }

  // Runs `work` on the loop and gives its result.
  template <typename Work>
  auto on_loop(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    boost::asio::post(context_, [&task] { task(); });
    REQUIRE(result.wait_for(kPatience) == std::future_status::ready);
    return result.get();
  }

  // To be called on the loop, or before it runs.
  void create_server_here() { server_.emplace(context_, options_, commands); }
  void destroy_server_here() { server_.reset(); }

  void destroy_server() {
    on_loop([this] { destroy_server_here(); });
  }

  // Waits until the condition, evaluated on the loop, holds.
  void until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!on_loop(condition)) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      std::this_thread::yield();
    }
  }

  FakeCommands commands;

 private:
  TemporaryFolder folder_;
  ServerOptions options_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::optional<Server> server_;
  std::thread thread_;
};

}  // namespace appserver::control

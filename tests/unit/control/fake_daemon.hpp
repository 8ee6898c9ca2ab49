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
  ready.tls_handshakes = 1200;
  ready.tls_failed = 3;
  ready.datagrams_received = 70;
  ready.datagrams_sent = 60;
  ready.datagrams_dropped = 5;
  ready.metrics = {{"queue", 1.5}};
  WorkerStatus fallen{
      .slot = 1, .state = WorkerState::crash_loop, .generation = 40, .build = "7be2d44aa001"};
  fallen.restarts = 5;
  fallen.last_exit = "SIGSEGV in on_request, build 7be2d44";
  fallen.next_try = std::chrono::milliseconds(8500);
  fallen.lends_to = 0;
  fallen.state_lost = "on_save_state: the disk is full";
  GroupStatus group{
      .name = "hello", .listen = {"http://127.0.0.1:8080"}, .plugin = "/opt/plugins/hello.so"};
  group.count = 2;
  group.ready = 1;
  group.build = BuildStatus{"7be2d44aa0010203", "c0ffee", "hello", "1.0.0", "1.0"};
  group.state = GroupState::crash_loop;
  group.restarts = 5;
  group.tls = TlsStatus{{{.file = "/etc/a.pem",
                          .names = {"a.test", "*.a.test"},
                          .not_after = "2030-01-31T12:00:00Z",
                          .state = CertificateState::kept,
                          .problem = "a.key is torn"},
                         {.file = "/etc/b.pem", .state = CertificateState::not_served}}};
  group.workers = {ready, fallen};
  GroupStatus kept{.name = "gateway", .reloadable = false};
  Status status;
  status.daemon = {
      "1.2.3",       ::getpid(), std::chrono::hours(292), "/etc/app.yaml", DaemonState::running,
      "/run/x.sock", 42};
  status.groups = {group, kept};
  return status;
}

inline RolloutStatus sample_rollout() {
  RolloutStatus rollout{.id = "r-12", .state = RolloutState::holding, .who = "ada (uid 1000)"};
  rollout.what = "hello 7be2d44 -> c81f0e2";
  rollout.release = 43;
  rollout.slots = 4;
  rollout.slots_done = 1;
  rollout.elapsed = std::chrono::milliseconds(18'200);
  rollout.left = std::chrono::milliseconds(11'800);
  rollout.text = "the canary hello/0 is watched";
  rollout.can_abort = true;
  return rollout;
}

// 2026-11-22T14:03:07Z
inline std::chrono::system_clock::time_point sample_time() {
  using namespace std::chrono;
  return sys_days(year_month_day(year(2026), November, day(22))) + 14h + 3min + 7s;
}

inline std::vector<ReleaseSummary> sample_history() {
  ReleaseSummary failed{.number = 43, .when = sample_time(), .who = "ada (uid 1000)"};
  failed.what = "hello 7be2d44 -> c81f0e2";
  failed.result = "rolled back: hello/0 did not start";
  failed.took = std::chrono::milliseconds(440);
  failed.builds = {{"hello", "hello", "1.0.1", "c81f0e2aa0010203"}};
  ReleaseSummary current = failed;
  current.number = 42;
  current.when -= std::chrono::hours(25);
  current.who = "watcher";
  current.what = "hello 51c0aa9 -> 7be2d44";
  current.result = "committed";
  current.took = std::chrono::milliseconds(21'400);
  current.committed = true;
  current.available = true;
  ReleaseSummary before = current;
  before.number = 41;
  before.who = "start";
  before.what = "hello 51c0aa9";
  before.committed = false;
  return {failed, current, before};
}

inline CrashRecord sample_crash() {
  CrashRecord crash{.number = 18, .when = sample_time(), .group = "hello", .slot = 1, .pid = 4711};
  crash.generation = 40;
  crash.release = 41;
  crash.reason = "SIGSEGV in on_request, build 7be2d44";
  crash.signal = "SIGSEGV";
  crash.hook = "on_request";
  crash.plugin = "hello 1.0.0";
  crash.sha256 = "7be2d44aa0010203";
  crash.build_id = "c0ffee";
  crash.uptime = std::chrono::seconds(252);
  crash.requests = 1204;
  crash.core_dumped = true;
  crash.address = "0x10";
  crash.stack = {"hello.so+0x12a0 shop::price(int)", "hello.so+0x1180 shop::answer()"};
  crash.output = {"the price is \x1b[2J", "gone"};
  return crash;
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
  std::function<void(const RollbackRequest&, std::shared_ptr<EventStream>)> on_rollback;
  std::function<void(const ScaleRequest&, std::shared_ptr<EventStream>)> on_scale;
  std::function<void(const DrainRequest&, std::shared_ptr<EventStream>)> on_drain;
  std::function<std::optional<RolloutStatus>()> on_rollout = sample_rollout;
  std::function<void(std::shared_ptr<EventStream>)> on_watch;
  std::function<std::string()> on_abort = [] { return "r-12 goes back"; };
  std::function<std::string()> on_proceed = [] { return "r-12 goes on"; };
  std::function<std::string()> on_confirm = [] { return "release 43 stays"; };
  std::function<std::vector<ReleaseSummary>()> on_history = sample_history;
  std::vector<CrashRecord> kept_crashes{sample_crash()};
  std::function<void(const GatewayRequest&, const GatewayDone&)> on_gateway =
      [](const GatewayRequest&, const GatewayDone& done) { done({}); };
  std::function<void(const StopRequest&)> on_stop = [](const StopRequest&) {};
  std::optional<Peer> last_peer;
  bool watched = false;

  Status status() override { return on_status(); }
  void reload(ReloadRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_reload(request, std::move(events));
  }
  void restart(RestartRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_restart(request, std::move(events));
  }
  void rollback(RollbackRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_rollback(request, std::move(events));
  }
  void scale(ScaleRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_scale(request, std::move(events));
  }
  void drain(DrainRequest request, Peer peer, std::shared_ptr<EventStream> events) override {
    last_peer = peer;
    on_drain(request, std::move(events));
  }
  std::optional<RolloutStatus> rollout() override { return on_rollout(); }
  void watch(std::shared_ptr<EventStream> events) override {
    watched = true;
    on_watch(std::move(events));
  }
  std::string abort(Peer peer) override {
    last_peer = peer;
    return on_abort();
  }
  std::string proceed(Peer peer) override {
    last_peer = peer;
    return on_proceed();
  }
  std::string confirm(Peer peer) override {
    last_peer = peer;
    return on_confirm();
  }
  std::vector<ReleaseSummary> history() override { return on_history(); }
  std::vector<CrashRecord> crashes() override { return kept_crashes; }
  std::optional<CrashRecord> crash(std::uint64_t number) override {
    for (const CrashRecord& each : kept_crashes) {
      if (each.number == number) return each;
    }
    return std::nullopt;
  }
  void gateway(GatewayRequest request, Peer peer, GatewayDone done) override {
    last_peer = peer;
    on_gateway(request, done);
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

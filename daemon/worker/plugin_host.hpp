// The plugin of a worker and everything it may ask of us: the host side of the ABI.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "channel/boot.hpp"
#include "net/http_server.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/bus_host.hpp"
#include "worker/client_host.hpp"
#include "worker/connect_host.hpp"
#include "worker/fd_host.hpp"
#include "worker/gateway_host.hpp"
#include "worker/lifecycle_host.hpp"
#include "worker/settings.hpp"
#include "worker/stream_host.hpp"
#include "worker/udp_host.hpp"
#include "worker/worker_log.hpp"

namespace appserver::worker {
class PluginHost;
}

// What the ABI's opaque handle is.
struct appserver_worker {
  appserver::worker::PluginHost& host;
};

namespace appserver::worker {

// One a process. Members are for the loop's thread unless they say otherwise.
class PluginHost final : public net::RequestHandler {
 public:
  // Bounds on what a plugin may have under way.
  static constexpr std::size_t kMaxTimers = 100'000;
  static constexpr std::size_t kMaxPosted = 100'000;
  static constexpr std::size_t kMaxQueuedBytes = std::size_t{64} << 20;

  PluginHost(boost::asio::io_context& context, const channel::Boot& boot,
             telemetry::WorkerPage& page, WorkerLog& log);
  PluginHost(const PluginHost&) = delete;
  PluginHost& operator=(const PluginHost&) = delete;
  ~PluginHost() override;

  // Loads the plugin and reads its tables; a gateway has none. Throws plugin::BadPlugin.
  void load();
  bool speaks_http() const { return http_.has_value(); }
  bool speaks_streams() const { return streams_.has_plugin(); }
  bool takes_datagrams() const { return datagrams_.has_plugin(); }

  // For a process that serves nothing: create, self_check and destroy where the plugin has a
  // self_check, else nothing. Instead of start(), once. Throws std::runtime_error with the plugin's
  // own reason.
  void self_check();

  // create and on_worker_start. Throws std::runtime_error with the plugin's own reason.
  void start(net::HttpServer& server, net::StreamServer& streams);
  void kept();
  // What is open to others is cut; on_worker_stop and destroy; no timer or posted call runs
  // afterwards.
  void stop();

  StreamHost& streams() { return streams_; }
  FdHost& fds() { return fds_; }
  LifecycleHost& lifecycle() { return lifecycle_; }
  UdpHost& datagrams() { return datagrams_; }
  BusHost& bus() { return bus_; }
  GatewayHost& gateway() { return gateway_; }
  ClientHost& client() { return client_; }
  ConnectHost& connects() { return connects_; }

  // For the hosts of extensions.
  void* self() const { return self_; }
  telemetry::WorkerPage& page() { return page_; }
  bool on_loop() const { return std::this_thread::get_id() == loop_thread_; }
  void forget_error() { error_.clear(); }
  // The reason that the plugin gave, with the hook's name; and the same as a line of the log.
  std::string failure_of(std::string_view hook);
  void log_failure(std::string_view hook);

  void on_request(appserver_exchange exchange, const appserver_http_request& request) override;
  void on_exchange_end(appserver_exchange exchange) override;
  bool wants_client_gone() const override { return http_ && http_->on_client_gone != nullptr; }
  void on_client_gone(appserver_exchange exchange) override;

  // The host's functions, as the C tables call them. [any-thread] where abi.h says so.
  const appserver_worker_info& info() const { return info_; }
  void log(std::int32_t level, std::string_view message);
  void report_error(std::string_view message);
  std::int32_t setting(std::string_view path, appserver_str& value);
  std::int32_t post(void (*call)(void*) noexcept, void* argument);
  appserver_timer timer_start(std::uint64_t delay_ms, std::uint64_t every_ms,
                              void (*call)(void*) noexcept, void* argument);
  std::int32_t timer_cancel(appserver_timer timer);
  appserver_metric metric(std::int32_t kind, std::string_view name);
  void metric_add(appserver_metric metric, double value);
  void metric_set(appserver_metric metric, double value);

  std::int32_t respond(appserver_exchange exchange, const appserver_http_response& response);
  std::int32_t defer(appserver_exchange exchange);
  std::int32_t start_stream(appserver_exchange exchange, const appserver_http_response& response,
                            std::int64_t content_length);
  std::int32_t write(appserver_exchange exchange, std::string_view piece);
  std::int32_t finish(appserver_exchange exchange);
  std::int32_t abort(appserver_exchange exchange);
  std::int32_t alive(appserver_exchange exchange);

 private:
  struct Timer {
    boost::asio::steady_timer timer;
    std::uint64_t every_ms;
    void (*call)(void*) noexcept;
    void* argument;
  };

  // What other threads may know of an exchange that is not over.
  struct Open {
    bool head = false;     // the request was HEAD: no body is sent, so none can be missing
    bool started = false;  // as a stream
    std::optional<std::uint64_t> left = std::nullopt;  // of its announced length
    std::size_t waiting = 0;                           // bytes queued for the loop
    std::size_t unsent = 0;  // bytes in the server, when it was last looked at
    bool being_looked_at = false;
  };

  // From other threads than the loop's.
  std::int32_t respond_elsewhere(appserver_exchange exchange,
                                 const appserver_http_response& response);
  std::int32_t start_elsewhere(appserver_exchange exchange, const appserver_http_response& response,
                               std::int64_t content_length);
  std::int32_t write_elsewhere(appserver_exchange exchange, std::string_view piece);
  std::int32_t end_elsewhere(appserver_exchange exchange, bool finish);

  // On the loop: the server has taken `bytes` that were queued.
  void arrived(appserver_exchange exchange, std::size_t bytes);
  // Queues `call` for the loop on behalf of another thread, within the bounds.
  std::int32_t queue(std::size_t bytes, std::function<void()> call);
  void create();
  void destroy();
  void arm(appserver_timer id, std::uint64_t delay_ms);
  void timer_fired(appserver_timer id);
  std::string take_error(std::string_view fallback);
  telemetry::Metric* find_metric(appserver_metric metric);

  boost::asio::io_context& context_;
  const channel::Boot& boot_;
  telemetry::WorkerPage& page_;
  // What the exit handler reads: null once the page may be gone. Freed by the handler,
  // which cannot be taken back.
  const telemetry::WorkerPage** exit_guard_ = nullptr;
  WorkerLog& log_;
  Settings settings_;
  net::HttpServer* server_ = nullptr;  // null in a process that serves nothing
  appserver_worker handle_{*this};
  appserver_worker_info info_{};
  appserver_plugin plugin_{};
  std::optional<appserver_http_plugin> http_;
  StreamHost streams_{*this};
  FdHost fds_{context_, *this};
  LifecycleHost lifecycle_{*this};
  UdpHost datagrams_{*this};
  BusHost bus_{context_, *this};
  GatewayHost gateway_{context_, *this, boot_};
  ClientHost client_{*this, context_};
  ConnectHost connects_{*this, context_};
  void* self_ = nullptr;
  std::string error_;
  std::thread::id loop_thread_ = std::this_thread::get_id();
  std::unordered_map<appserver_timer, std::unique_ptr<Timer>> timers_;
  appserver_timer last_timer_ = 0;
  std::atomic<std::size_t> posted_{0};
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> ended_{false};
  std::mutex open_mutex_;
  std::unordered_map<appserver_exchange, Open>
      open_;  // exchanges that other threads may still answer
};

// The tables that are given to plugins.
const appserver_host& host_table();
const appserver_http_host& http_host_table();

}  // namespace appserver::worker

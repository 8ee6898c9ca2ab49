#include "worker/plugin_host.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include "channel/process.hpp"
#include "plugin/load.hpp"
#include "worker/abi_text.hpp"

namespace appserver::worker {
namespace {

using telemetry::Hook;
using telemetry::InHook;

// exit(3) in a plugin runs this before any destructor of ours or the plugin's. The supervisor reads
// from the page where it was.
void refuse_exit(int, void* argument) {
  const std::unique_ptr<const telemetry::WorkerPage*> guard(
      static_cast<const telemetry::WorkerPage**>(argument));
  const auto* page = *guard;
  if (page == nullptr) return;
  if (page->hook.load(std::memory_order_relaxed) != Hook::none) ::_exit(channel::kExitedInPlugin);
}

// The C++ layer names the hook itself, a plugin in C need not.
std::string named(std::string_view hook, const std::string& error) {
  return error.starts_with(hook) ? error : fmt::format("{}: {}", hook, error);
}

// Of a gateway: it has no hooks.
appserver_plugin no_plugin() {
  appserver_plugin plugin{};
  plugin.size = sizeof(plugin);
  plugin.create = [](const appserver_host*, appserver_worker*, void**) noexcept {
    return APPSERVER_OK;
  };
  plugin.destroy = [](void*) noexcept {};
  return plugin;
}

bool is_metric_name(std::string_view name) {
  if (name.empty() || name.size() >= telemetry::Metric::kNameSize) return false;
  if (name.front() >= '0' && name.front() <= '9') return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

}  // namespace

PluginHost::PluginHost(boost::asio::io_context& context, const channel::Boot& boot,
                       telemetry::WorkerPage& page, WorkerLog& log)
    : context_(context), boot_(boot), page_(page), log_(log), settings_(boot.group.settings) {
  info_.size = sizeof(info_);
  info_.slot = boot.slot;
  info_.generation = boot.generation;
  info_.group = view(boot_.group.name);
  info_.build = view(boot_.build);
}

PluginHost::~PluginHost() {
  if (exit_guard_ != nullptr) *exit_guard_ = nullptr;
}

void PluginHost::load() {
  const InHook in_hook(page_, Hook::load);
  if (boot_.group.kind == config::GroupKind::gateway) {
    plugin_ = no_plugin();
    return;
  }
  plugin_ = plugin::load(boot_.plugin_file);
  // After dlopen, so that it runs before the plugin's own handlers.
  exit_guard_ = new const telemetry::WorkerPage*(&page_);
  ::on_exit(refuse_exit, exit_guard_);
  if (plugin_.extension == nullptr) return;
  http_ = plugin::read_table<appserver_http_plugin>(plugin_.extension(APPSERVER_HTTP));
  if (http_ && http_->on_request == nullptr) http_.reset();
  streams_.load(plugin_);
  lifecycle_.load(plugin_);
  datagrams_.load(plugin_);
  gateway_.load(plugin_);
}

void PluginHost::create() {
  const InHook in_hook(page_, Hook::create);
  if (plugin_.create(&host_table(), &handle_, &self_) != APPSERVER_OK) {
    throw std::runtime_error(take_error("create failed without a reason"));
  }
}

void PluginHost::self_check() {
  if (plugin_.self_check == nullptr) return;
  create();
  error_.clear();
  std::int32_t result = APPSERVER_OK;
  {
    const InHook in_hook(page_, Hook::self_check);
    result = plugin_.self_check(self_);
  }
  const std::string why = take_error("failed without a reason");
  destroy();
  if (result != APPSERVER_OK) throw std::runtime_error(named("self_check", why));
}

void PluginHost::start(net::HttpServer& server, net::StreamServer& streams) {
  server_ = &server;
  streams_.start(streams);
  connects_.start(streams);
  create();
  if (plugin_.on_worker_start == nullptr) return lifecycle_.forget_inherited();
  std::int32_t result = APPSERVER_OK;
  {
    const InHook in_hook(page_, Hook::on_worker_start);
    result = plugin_.on_worker_start(self_);
  }
  lifecycle_.forget_inherited();
  if (result == APPSERVER_OK) return;
  destroy();
  throw std::runtime_error(named("on_worker_start", take_error("failed without a reason")));
}

void PluginHost::kept() {
  if (plugin_.on_worker_reload == nullptr) return;
  const InHook in_hook(page_, Hook::on_worker_reload);
  plugin_.on_worker_reload(self_);
}

void PluginHost::stop() {
  connects_.stop();
  if (plugin_.on_worker_stop != nullptr) {
    const InHook in_hook(page_, Hook::on_worker_stop);
    plugin_.on_worker_stop(self_);
  }
  destroy();
}

void PluginHost::destroy() {
  connects_.stop();
  ended_ = true;
  timers_.clear();
  fds_.stop();
  bus_.stop();
  gateway_.stop();
  client_.stop();
  const InHook in_hook(page_, Hook::destroy);
  plugin_.destroy(self_);
}

void PluginHost::on_request(appserver_exchange exchange, const appserver_http_request& request) {
  error_.clear();
  std::int32_t result = APPSERVER_ERROR;
  {
    const InHook in_hook(page_, Hook::on_request);
    result = http_->on_request(self_, &request, exchange);
  }
  if (result == APPSERVER_OK) return;
  log_.write(config::LogLevel::error,
             fmt::format("{} ({} {})", named("on_request", take_error("failed without a reason")),
                         std::string_view(request.method.data, request.method.size),
                         std::string_view(request.path.data, request.path.size)));
  server_->fail(exchange);
}

void PluginHost::on_exchange_end(appserver_exchange exchange) {
  const std::lock_guard lock(open_mutex_);
  open_.erase(exchange);
}

void PluginHost::on_client_gone(appserver_exchange exchange) {
  if (ended_) return;
  const InHook in_hook(page_, Hook::on_client_gone);
  http_->on_client_gone(self_, exchange);
}

std::string PluginHost::take_error(std::string_view fallback) {
  return error_.empty() ? std::string(fallback) : std::exchange(error_, {});
}

std::string PluginHost::failure_of(std::string_view hook) {
  return named(hook, take_error("failed without a reason"));
}

void PluginHost::log_failure(std::string_view hook) {
  log_.write(config::LogLevel::error, failure_of(hook));
}

void PluginHost::log(std::int32_t level, std::string_view message) {
  const auto known = std::clamp(level, APPSERVER_LOG_DEBUG, APPSERVER_LOG_ERROR);
  log_.write(static_cast<config::LogLevel>(known), message);
}

void PluginHost::report_error(std::string_view message) {
  if (on_loop()) {
    error_ = message.substr(0, WorkerLog::kMaxText);
  } else {
    log_.write(config::LogLevel::error, message);
  }
}

std::int32_t PluginHost::setting(std::string_view path, appserver_str& value) {
  const auto found = settings_.find(path);
  if (!found) return APPSERVER_NOT_FOUND;
  value = view(*found);
  return APPSERVER_OK;
}

std::int32_t PluginHost::queue(std::size_t bytes, std::function<void()> call) {
  if (ended_) return APPSERVER_GONE;
  if (posted_.load() >= kMaxPosted || queued_bytes_.load() + bytes > kMaxQueuedBytes)
    return APPSERVER_LIMIT;
  ++posted_;
  queued_bytes_ += bytes;
  boost::asio::post(context_, [this, bytes, call = std::move(call)] {
    --posted_;
    queued_bytes_ -= bytes;
    if (!ended_) call();
  });
  return APPSERVER_OK;
}

std::int32_t PluginHost::post(void (*call)(void*) noexcept, void* argument) {
  return queue(0, [this, call, argument] {
    const InHook in_hook(page_, Hook::posted_call);
    call(argument);
  });
}

appserver_timer PluginHost::timer_start(std::uint64_t delay_ms, std::uint64_t every_ms,
                                        void (*call)(void*) noexcept, void* argument) {
  if (timers_.size() >= kMaxTimers || ended_) return 0;
  const appserver_timer id = ++last_timer_;
  timers_.emplace(id, std::make_unique<Timer>(
                          Timer{boost::asio::steady_timer(context_), every_ms, call, argument}));
  arm(id, delay_ms);
  return id;
}

void PluginHost::arm(appserver_timer id, std::uint64_t delay_ms) {
  // Far beyond any process's life, and far from overflowing the clock.
  constexpr std::uint64_t kLongest = std::uint64_t{1000} * 60 * 60 * 24 * 365 * 10;
  Timer& timer = *timers_.at(id);
  timer.timer.expires_after(std::chrono::milliseconds(std::min(delay_ms, kLongest)));
  timer.timer.async_wait([this, id](const boost::system::error_code& error) {
    if (!error) timer_fired(id);
  });
}

void PluginHost::timer_fired(appserver_timer id) {
  const auto found = timers_.find(id);
  // A cancelled timer's handler may have been queued already.
  if (found == timers_.end() || ended_) return;
  const Timer& timer = *found->second;
  const auto call = timer.call;
  void* const argument = timer.argument;
  if (timer.every_ms > 0) {
    arm(id, timer.every_ms);
  } else {
    timers_.erase(found);
  }
  const InHook in_hook(page_, Hook::timer);
  call(argument);
}

std::int32_t PluginHost::timer_cancel(appserver_timer timer) {
  return timers_.erase(timer) > 0 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
}

appserver_metric PluginHost::metric(std::int32_t kind, std::string_view name) {
  if (!is_metric_name(name)) return 0;
  if (kind != APPSERVER_METRIC_COUNTER && kind != APPSERVER_METRIC_GAUGE) return 0;
  const auto wanted = kind == APPSERVER_METRIC_COUNTER ? telemetry::MetricKind::counter
                                                       : telemetry::MetricKind::gauge;
  for (std::size_t i = 0; i < page_.metrics.size(); ++i) {
    telemetry::Metric& metric = page_.metrics[i];
    const auto used = metric.kind.load(std::memory_order_relaxed);
    if (used == telemetry::MetricKind::unused) {
      std::ranges::copy(name, metric.name.begin());
      metric.kind.store(wanted, std::memory_order_release);
      return i + 1;
    }
    if (metric.name_view() == name) return used == wanted ? i + 1 : 0;
  }
  return 0;
}

telemetry::Metric* PluginHost::find_metric(appserver_metric metric) {
  if (metric == 0 || metric > page_.metrics.size()) return nullptr;
  return &page_.metrics[metric - 1];
}

void PluginHost::metric_add(appserver_metric id, double value) {
  telemetry::Metric* metric = find_metric(id);
  if (metric == nullptr) return;
  const bool is_counter =
      metric->kind.load(std::memory_order_relaxed) == telemetry::MetricKind::counter;
  if (is_counter && !(value >= 0)) return;
  metric->value.fetch_add(value, std::memory_order_relaxed);
}

void PluginHost::metric_set(appserver_metric id, double value) {
  telemetry::Metric* metric = find_metric(id);
  if (metric == nullptr ||
      metric->kind.load(std::memory_order_relaxed) != telemetry::MetricKind::gauge)
    return;
  metric->value.store(value, std::memory_order_relaxed);
}

}  // namespace appserver::worker

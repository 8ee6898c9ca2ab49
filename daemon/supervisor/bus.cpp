#include "supervisor/bus.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <utility>

#include "os/message_socket.hpp"
#include "os/procfs.hpp"

namespace appserver::supervisor {
namespace {

using boost::system::error_code;

// A worker asks again each 250 ms.
constexpr milliseconds kAskInterval{100};
// Who that is root's daemon's bus becomes.
constexpr const char* kNobody = "nobody";

channel::Boot boot_of_bus(const config::Bus& config) {
  channel::Boot boot;
  boot.purpose = channel::Purpose::bus;
  boot.group.name = "bus";
  boot.group.settings = fmt::format(R"({{"memory":{}}})", config.memory.value);
  if (::geteuid() == 0) boot.group.user = kNobody;
  return boot;
}

}  // namespace

Bus::Bus(const SpawnContext& context, config::Bus config)
    : context_(context),
      config_(config),
      timer_(context.io),
      health_timer_(context.io),
      random_(std::random_device{}()) {}

Bus::~Bus() {
  if (process_) process_->forget();
}

void Bus::connect(const std::shared_ptr<WorkerProcess>& worker, std::uint64_t given) {
  if (stopped_ || asks_too_often(worker) || given < member(worker).given) return;
  // While the bus cannot start they ask again and again: no more wait than live.
  std::erase_if(waiting_, [&](const auto& each) {
    const auto other = each.lock();
    return !other || other == worker;
  });
  waiting_.push_back(worker);
  boost::asio::post(context_.io, [this] { serve(); });
}

Bus::Member& Bus::member(const std::shared_ptr<WorkerProcess>& worker) {
  std::erase_if(members_, [](const Member& each) { return each.worker.expired(); });
  const auto found = std::ranges::find_if(
      members_, [&](const Member& each) { return each.worker.lock() == worker; });
  return found == members_.end() ? members_.emplace_back(worker, 0) : *found;
}

bool Bus::asks_too_often(const std::shared_ptr<WorkerProcess>& worker) {
  const Time now = std::chrono::steady_clock::now();
  std::erase_if(asked_, [&](const Asked& asked) { return now - asked.when >= kAskInterval; });
  const auto is_it = [&](const Asked& asked) { return asked.worker.lock() == worker; };
  if (std::ranges::any_of(asked_, is_it)) return true;
  asked_.push_back({worker, now});
  return false;
}

void Bus::serve() {
  if (stopped_ || waiting_.empty()) return;
  if (!process_) {
    if (!may_start_) return;
    start();
    if (!process_) return;
  }
  // What waits goes to the next one.
  if (aborted_ || process_->has_left()) return;
  for (const auto& each : std::exchange(waiting_, {})) {
    const auto worker = each.lock();
    if (!worker) continue;
    try {
      join(*worker);
      ++member(worker).given;
    } catch (const std::exception& error) {
      // It asks again.
      context_.log.warning("a worker of {} cannot be connected to the bus: {}", worker->group(),
                           error.what());
    }
  }
}

void Bus::join(WorkerProcess& worker) {
  const auto [of_bus, of_worker] = os::make_socket_pair(SOCK_SEQPACKET);
  channel::Message message;
  message.kind = channel::Kind::bus;
  message.number = static_cast<std::uint64_t>(worker.pid());
  message.text = fmt::format("{}/{}, pid {}", worker.group(), worker.slot(), worker.pid());
  process_->send(message, {of_bus.get()});
  message.number = 0;
  message.text.clear();
  worker.send(message, {of_worker.get()});
}

void Bus::start() {
  WorkerProcess::Hooks hooks;
  hooks.message = [this](const channel::Message& message) { on_message(message); };
  hooks.gone = [this](const WorkerEnd& end) { ended(end); };
  ++starts_;
  aborted_.reset();
  hung_.clear();
  try {
    process_ = WorkerProcess::start(context_, boot_of_bus(config_), {}, std::move(hooks));
    watch_heartbeat();
    context_.log.info("the bus runs, pid {}", process_->pid());
  } catch (const std::exception& error) {
    context_.log.error("the bus cannot be started: {}", error.what());
    last_exit_ = fmt::format("cannot be started: {}", error.what());
    restart_later();
  }
}

void Bus::on_message(const channel::Message& message) {
  if (message.kind == channel::Kind::ready) policy_.became_ready(std::chrono::steady_clock::now());
}

void Bus::watch_heartbeat() {
  own_stall_.look(std::chrono::steady_clock::now());
  health_timer_.expires_after(kHealthInterval);
  health_timer_.async_wait([this](const error_code& error) {
    if (error || stopped_ || !process_) return;
    watch_heartbeat();
    check_heartbeat();
  });
}

void Bus::check_heartbeat() {
  const Time now = std::chrono::steady_clock::now();
  if (aborted_) {
    if (now - *aborted_ >= kAbortPatience) process_->signal(SIGKILL);
    return;
  }
  const milliseconds age = process_->heartbeat_age();
  if (age < kHangTimeout || !own_stall_.is_over(now, kHangTimeout)) return;
  // All workers wait for it: one that somebody stopped is replaced like one that hangs.
  const bool is_stopped = os::is_stopped(process_->pid());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  hung_ = is_stopped ? fmt::format("stopped by a signal or a debugger for {} s", seconds)
                     : fmt::format("its loop had not turned for {} s", seconds);
  context_.log.error("the bus, pid {}, {}: it is ended and replaced", process_->pid(), hung_);
  aborted_ = now;
  process_->signal(is_stopped ? SIGKILL : SIGABRT);
}

std::optional<control::BusStatus> Bus::status() const {
  if (starts_ == 0) return std::nullopt;
  control::BusStatus status;
  status.memory_limit_bytes = config_.memory.value;
  status.restarts = starts_ - 1;
  status.last_exit = last_exit_;
  if (!process_) return status;
  const telemetry::BusCounters& counters = process_->page().bus;
  status.pid = process_->pid();
  status.memory_bytes = counters.memory.get();
  status.keys = counters.keys.get();
  status.topics = counters.topics.get();
  status.subscriptions = counters.subscriptions.get();
  status.messages = counters.sent.get();
  status.dropped = counters.dropped.get();
  return status;
}

void Bus::ended(const WorkerEnd& end) {
  process_.reset();
  health_timer_.cancel();
  if (stopped_) {
    timer_.cancel();
    boost::asio::post(context_.io, std::exchange(stopped_, [] {}));
    return;
  }
  last_exit_ = describe_end(end, {});
  if (!hung_.empty()) *last_exit_ += ", " + hung_;
  context_.log.error("the bus ended ({}); the keys and values that it kept are lost", *last_exit_);
  restart_later();
}

void Bus::restart_later() {
  may_start_ = false;
  const double chance = std::uniform_real_distribution<double>()(random_);
  timer_.expires_after(policy_.failed(std::chrono::steady_clock::now(), chance));
  timer_.async_wait([this](const error_code& error) {
    if (error || stopped_) return;
    may_start_ = true;
    serve();
  });
}

void Bus::stop(std::function<void()> stopped) {
  stopped_ = std::move(stopped);
  waiting_.clear();
  health_timer_.cancel();
  if (!process_) {
    boost::asio::post(context_.io, std::exchange(stopped_, [] {}));
    return;
  }
  channel::Message message;
  message.kind = channel::Kind::drain;
  process_->send(message);
  timer_.expires_after(kPatience);
  timer_.async_wait([this](const error_code& error) {
    if (!error && process_) process_->signal(SIGKILL);
  });
}

}  // namespace appserver::supervisor

#include "supervisor/bus.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <utility>

#include "os/message_socket.hpp"

namespace appserver::supervisor {
namespace {

using boost::system::error_code;

// A worker asks again each 250 ms.
constexpr milliseconds kAskInterval{100};
// Who that is root's daemon's bus becomes.
constexpr const char* kNobody = "nobody";

channel::Boot boot_of_bus() {
  channel::Boot boot;
  boot.purpose = channel::Purpose::bus;
  boot.group.name = "bus";
  boot.group.settings = fmt::format(R"({{"memory":{}}})", Bus::kMemory);
  if (::geteuid() == 0) boot.group.user = kNobody;
  return boot;
}

}  // namespace

Bus::Bus(const SpawnContext& context)
    : context_(context), timer_(context.io), random_(std::random_device{}()) {}

Bus::~Bus() {
  if (process_) process_->forget();
}

void Bus::connect(const std::shared_ptr<WorkerProcess>& worker) {
  if (stopped_ || asks_too_often(worker)) return;
  waiting_.push_back(worker);
  boost::asio::post(context_.io, [this] { serve(); });
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
  std::vector<std::shared_ptr<WorkerProcess>> workers;
  for (const auto& each : std::exchange(waiting_, {})) {
    auto worker = each.lock();
    if (worker && std::ranges::find(workers, worker) == workers.end())
      workers.push_back(std::move(worker));
  }
  for (const auto& worker : workers) {
    try {
      join(*worker);
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
  process_->send(message, {of_bus.get()});
  message.number = 0;
  worker.send(message, {of_worker.get()});
}

void Bus::start() {
  WorkerProcess::Hooks hooks;
  hooks.message = [this](const channel::Message& message) { on_message(message); };
  hooks.gone = [this](const WorkerEnd& end) { ended(end); };
  try {
    process_ = WorkerProcess::start(context_, boot_of_bus(), {}, std::move(hooks));
    context_.log.info("the bus runs, pid {}", process_->pid());
  } catch (const std::exception& error) {
    context_.log.error("the bus cannot be started: {}", error.what());
    restart_later();
  }
}

void Bus::on_message(const channel::Message& message) {
  if (message.kind == channel::Kind::ready) policy_.became_ready(std::chrono::steady_clock::now());
}

void Bus::ended(const WorkerEnd& end) {
  process_.reset();
  if (stopped_) {
    timer_.cancel();
    boost::asio::post(context_.io, std::exchange(stopped_, [] {}));
    return;
  }
  context_.log.error("the bus ended ({}); the keys and values that it kept are lost",
                     describe_end(end, {}));
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

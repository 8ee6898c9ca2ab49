#include "supervisor/supervisor.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "control/server.hpp"
#include "os/error.hpp"
#include "os/notify.hpp"
#include "plugin/store.hpp"
#include "supervisor/group.hpp"
#include "supervisor/rollout.hpp"
#include "telemetry/log.hpp"

namespace appserver::supervisor {
namespace {

using boost::system::error_code;
using control::RolloutResult;

telemetry::Format to_format(config::LogFormat format) {
  switch (format) {
    case config::LogFormat::json:
      return telemetry::Format::json;
    case config::LogFormat::journald:
      return telemetry::Format::journald;
    case config::LogFormat::text:
      break;
  }
  return telemetry::Format::text;
}

// The supervisor holds every listener and four descriptors a worker; workers get the boot limits
// back.
void raise_descriptor_limit() {
  rlimit files{};
  os::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit(nofile)");
  files.rlim_cur = files.rlim_max;
  os::check(::setrlimit(RLIMIT_NOFILE, &files), "setrlimit(nofile, {})", files.rlim_max);
}

std::string monotonic_usec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::to_string(now.tv_sec * 1'000'000 + now.tv_nsec / 1000);
}

std::string describe_peer(const control::Peer& peer) {
  return fmt::format("appserverctl (uid {}, pid {})", peer.uid, peer.pid);
}

// Two daemons would tidy each other's builds away.
os::Fd lock_state(const std::filesystem::path& state_dir) {
  if (!std::filesystem::exists(state_dir)) {
    std::filesystem::create_directories(state_dir);
    os::check(::chmod(state_dir.c_str(), 0755), "chmod(\"{}\")", state_dir.native());
  }
  std::optional<os::Fd> lock = os::try_lock_file(state_dir / ".lock");
  if (!lock) {
    throw std::runtime_error(fmt::format(
        "another appserverd uses the state directory {}; stop it, or set another daemon.state_dir",
        state_dir.native()));
  }
  return std::move(*lock);
}

class Supervisor final : public control::Commands {
 public:
  Supervisor(const config::Config& config, const os::BootState& boot_state, std::string version);
  int run();

  control::Status status() override;
  void reload(control::ReloadRequest request, control::Peer peer,
              std::shared_ptr<control::EventStream> events) override;
  void restart(control::RestartRequest request, control::Peer peer,
               std::shared_ptr<control::EventStream> events) override;
  void stop(control::StopRequest request, control::Peer peer) override;

 private:
  struct Queued {
    RolloutRequest request;
    std::vector<std::shared_ptr<control::EventStream>> events;
  };

  plugin::Build take_in(const config::Group& group);
  void open_groups();
  void run_loop();
  void warn_of_root();
  void watch_signals();
  void on_signal(int number);
  void feed_watchdog();
  void group_changed();
  void group_stopped();
  void begin_stop(bool fast, const std::string& who);
  void ask_for_rollout(RolloutRequest request, std::shared_ptr<control::EventStream> events);
  void begin_rollout(Queued next);
  void rollout_done(RolloutResult result);
  control::DaemonState state() const;

  config::Config config_;
  std::string version_;
  boost::asio::io_context io_{1};
  telemetry::Log log_;
  SpawnContext context_;
  // Before the groups: a lock on the control socket keeps a second daemon from the same state
  // directory.
  std::unique_ptr<control::Server> control_;
  os::Fd state_lock_;
  plugin::Store store_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::shared_ptr<Rollout> rollout_;
  std::optional<Queued> queued_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
  boost::asio::thread_pool files_{1};
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::uint64_t releases_ = 1;
  std::uint64_t rollouts_ = 0;
  std::size_t stopped_groups_ = 0;
  bool up_ = false;
  bool stopping_ = false;
};

Supervisor::Supervisor(const config::Config& config, const os::BootState& boot_state,
                       std::string version)
    : config_(config),
      version_(std::move(version)),
      log_(static_cast<telemetry::Level>(config.daemon.log.level),
           to_format(config.daemon.log.format)),
      context_{io_, boot_state, log_},
      control_([&] {
        control::ServerOptions options;
        options.socket = config.daemon.control_socket;
        return std::make_unique<control::Server>(io_, options, *this);
      }()),
      state_lock_(lock_state(config.daemon.state_dir)),
      store_(config.daemon.state_dir / "store"),
      signals_(io_, SIGHUP, SIGTERM, SIGQUIT),
      watchdog_(io_) {
  signals_.add(SIGINT);
  signals_.add(SIGUSR1);
  signals_.add(SIGUSR2);
  open_groups();
}

plugin::Build Supervisor::take_in(const config::Group& group) {
  try {
    return store_.add(group.plugin);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.plugin: {}", group.name, error.what()));
  }
}

void Supervisor::open_groups() {
  for (const config::Group& group : config_.groups) {
    check_identity(group);
    auto release = std::make_shared<const Release>(Release{releases_, group, take_in(group)});
    Group::Hooks hooks{[this] { group_changed(); }, [this] { group_stopped(); }};
    try {
      groups_.push_back(std::make_unique<Group>(context_, std::move(release),
                                                config_.daemon.log.level, std::move(hooks)));
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("groups.{}: {}", group.name, error.what()));
    }
  }
}

int Supervisor::run() {
  log_.info("appserverd {} started, pid {}, control socket {}", version_, ::getpid(),
            config_.daemon.control_socket.native());
  warn_of_root();
  watch_signals();
  feed_watchdog();
  for (const auto& group : groups_) {
    for (const auto& address : group->status().listen)
      log_.info("{} listens on {}", group->name(), address);
    group->start();
  }
  run_loop();
  files_.join();
  log_.info("appserverd stopped");
  return 0;
}

void Supervisor::run_loop() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& error) {
      // Whatever one handler ran into, the workers and their listeners stay.
      log_.error("internal error, going on: {}", error.what());
    }
  }
}

void Supervisor::warn_of_root() {
  if (::geteuid() != 0) return;
  for (const config::Group& group : config_.groups) {
    if (group.user.empty())
      log_.warning("{}: its workers run as root; set `user:` to an account without privileges",
                   group.name);
  }
}

void Supervisor::watch_signals() {
  signals_.async_wait([this](const error_code& error, int number) {
    if (error) return;
    watch_signals();
    on_signal(number);
  });
}

void Supervisor::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      ask_for_rollout({{}, false, "SIGHUP"}, nullptr);
      break;
    case SIGTERM:
    case SIGQUIT:
      begin_stop(stopping_, os::signal_name(number));
      break;
    case SIGINT:
      begin_stop(true, "SIGINT");
      break;
    case SIGUSR1:
      log_.info("SIGUSR1: the log goes to stderr or the journal; there is no file to reopen");
      break;
    default:
      log_.warning(
          "SIGUSR2: replacing the daemon's own binary is not supported by this version; restart it "
          "instead");
  }
}

void Supervisor::feed_watchdog() {
  const auto interval = os::watchdog_interval();
  if (!interval) return;
  watchdog_.expires_after(*interval / 3);
  watchdog_.async_wait([this](const error_code& error) {
    if (!error) feed_watchdog();
  });
  os::notify_service_manager("WATCHDOG=1");
}

void Supervisor::group_changed() {
  if (up_ || stopping_) return;
  if (!std::ranges::all_of(groups_, [](const auto& group) { return group->start_is_over(); }))
    return;
  up_ = true;
  std::string text;
  for (const auto& group : groups_) {
    text += fmt::format("{}{} {}/{} ready", text.empty() ? "" : ", ", group->name(),
                        group->ready_count(), group->release()->config.count);
  }
  log_.info("up: {}", text);
  os::notify_service_manager("READY=1\nSTATUS=" + text);
}

void Supervisor::group_stopped() {
  if (++stopped_groups_ < groups_.size()) return;
  signals_.cancel();
  watchdog_.cancel();
  control_.reset();
  files_.stop();
  io_.stop();
}

void Supervisor::begin_stop(bool fast, const std::string& who) {
  log_.info("{} stop, asked for by {}", fast ? "fast" : "graceful", who);
  if (!std::exchange(stopping_, true)) {
    os::notify_service_manager("STOPPING=1\nSTATUS=stopping");
  }
  if (rollout_) rollout_->stop("the daemon is stopping");
  if (queued_) {
    const Queued dropped = *std::exchange(queued_, std::nullopt);
    control::RolloutEvent event;
    event.kind = control::EventKind::done;
    event.result = RolloutResult::stopped;
    event.text = "the daemon is stopping";
    for (const auto& listener : dropped.events) {
      if (listener) listener->send(event);
    }
  }
  for (const auto& group : groups_) group->stop(fast);
}

control::DaemonState Supervisor::state() const {
  if (stopping_) return control::DaemonState::stopping;
  if (rollout_) return control::DaemonState::reloading;
  return up_ ? control::DaemonState::running : control::DaemonState::starting;
}

control::Status Supervisor::status() {
  control::Status status;
  status.daemon.version = version_;
  status.daemon.pid = ::getpid();
  status.daemon.uptime =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  if (!config_.file.empty()) status.daemon.config = config_.file.native();
  status.daemon.state = state();
  status.daemon.control_socket = config_.daemon.control_socket.native();
  for (const auto& group : groups_) status.groups.push_back(group->status());
  return status;
}

void Supervisor::reload(control::ReloadRequest request, control::Peer peer,
                        std::shared_ptr<control::EventStream> events) {
  ask_for_rollout({std::move(request.groups), request.force, describe_peer(peer)},
                  std::move(events));
}

void Supervisor::restart(control::RestartRequest request, control::Peer peer,
                         std::shared_ptr<control::EventStream> events) {
  ask_for_rollout({{std::move(request.group)}, true, describe_peer(peer)}, std::move(events));
}

void Supervisor::stop(control::StopRequest request, control::Peer peer) {
  begin_stop(request.fast, describe_peer(peer));
}

// One runs, one waits. A request like the one that waits joins it; any other one is told to come
// back.
void Supervisor::ask_for_rollout(RolloutRequest request,
                                 std::shared_ptr<control::EventStream> events) {
  const auto refuse = [&](RolloutResult result, const std::string& text) {
    log_.warning("reload asked for by {} is refused: {}", request.who, text);
    if (!events) return;
    control::RolloutEvent event;
    event.kind = control::EventKind::done;
    event.result = result;
    event.text = text;
    events->send(event);
  };
  if (stopping_) {
    refuse(RolloutResult::stopped, "the daemon is stopping");
    return;
  }
  if (!rollout_) {
    begin_rollout({std::move(request), {std::move(events)}});
    return;
  }
  if (!queued_) {
    if (events) {
      control::RolloutEvent event;
      event.text = "another rollout runs; this one is next";
      events->send(event);
    }
    queued_ = Queued{std::move(request), {std::move(events)}};
    return;
  }
  if (queued_->request.groups == request.groups && queued_->request.force == request.force) {
    if (events) queued_->events.push_back(std::move(events));
    return;
  }
  refuse(RolloutResult::busy,
         "one rollout runs and another one waits; try again when they are over");
}

void Supervisor::begin_rollout(Queued next) {
  os::notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec() +
                             "\nSTATUS=reloading");
  rollout_ = std::make_shared<Rollout>(
      RolloutTargets{context_, files_, store_, config_, groups_}, fmt::format("r-{}", ++rollouts_),
      ++releases_, std::move(next.request), [this](RolloutResult result) { rollout_done(result); });
  for (auto& listener : next.events) rollout_->listen(std::move(listener));
  // Not from here: a refusal ends it at once, and the next one would begin inside this call.
  boost::asio::post(io_, [rollout = rollout_] { rollout->run(); });
}

void Supervisor::rollout_done(RolloutResult result) {
  for (std::size_t i = 0; i < groups_.size(); ++i)
    config_.groups[i] = groups_[i]->release()->config;
  if (result == RolloutResult::done || result == RolloutResult::partial) {
    // What nobody runs and nobody is likely to want back soon makes room.
    constexpr std::size_t kKeepBuilds = 5;
    std::vector<std::string> used;
    for (const auto& group : groups_) used.push_back(group->release()->build.sha256);
    boost::asio::post(files_, [this, used] {
      try {
        store_.collect(used, kKeepBuilds);
      } catch (const std::exception& error) {
        log_.warning("tidying the store: {}", error.what());
      }
    });
  }
  if (!stopping_ && up_) {
    os::notify_service_manager(
        fmt::format("READY=1\nSTATUS=last reload: {}", control::to_word(result)));
  }
  rollout_.reset();
  if (queued_ && !stopping_) begin_rollout(*std::exchange(queued_, std::nullopt));
}

}  // namespace

int run_supervisor(const config::Config& config, const os::BootState& boot_state,
                   const std::string& version) {
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);
  // Ignored, it would have the kernel reap our children before we learn how they ended.
  std::signal(SIGCHLD, SIG_DFL);
  Supervisor supervisor(config, boot_state, version);
  return supervisor.run();
}

}  // namespace appserver::supervisor

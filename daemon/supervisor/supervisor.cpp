#include "supervisor/supervisor.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "os/error.hpp"
#include "os/notify.hpp"
#include "supervisor/crash_stack.hpp"
#include "supervisor/daemon.hpp"
#include "supervisor/first_release.hpp"

namespace appserver::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds kFilesAtStop{10};
constexpr const char* kFolderNote = "plugin folder: ";

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

}  // namespace

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
      archive_(config.daemon.state_dir),
      signals_(io_, SIGHUP, SIGTERM, SIGQUIT),
      watchdog_(io_) {
  signals_.add(SIGINT);
  signals_.add(SIGUSR1);
  signals_.add(SIGUSR2);
  report_archive_problems();
  open_groups();
  const auto make = [this](GroupReleasePtr release) {
    return make_group(std::move(release), Group::Begin::roll);
  };
  Rollouts::Hooks hooks;
  hooks.begun = [] {
    os::notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec() +
                               "\nSTATUS=reloading");
  };
  hooks.ended = [this](const Rollout::End& end) { rollout_ended(end); };
  rollouts_ = std::make_unique<Rollouts>(
      RolloutTargets{context_, files_, archive_, config_, groups_, make},
      std::make_shared<const ArchiveView>(look_at(archive_)), std::move(hooks));
}

// A damaged record is no reason not to serve.
void Supervisor::report_archive_problems() {
  for (const auto& problem : archive_.releases.problems()) log_.error("{}", problem);
  for (const auto& problem : archive_.crashes.problems()) log_.warning("{}", problem);
  if (!archive_.quarantine.problem().empty()) log_.error("{}", archive_.quarantine.problem());
}

std::unique_ptr<Group> Supervisor::make_group(GroupReleasePtr release, Group::Begin begin) {
  Group::Hooks hooks;
  hooks.changed = [this] { group_changed(); };
  hooks.stopped = [this](const std::string& group) { group_stopped(group); };
  hooks.crash_looping = [this](const std::string& group) { rollouts_->crash_looping(group); };
  hooks.crashed = [this](control::CrashRecord record, std::shared_ptr<WorkerProcess> process) {
    crashed(std::move(record), std::move(process));
  };
  return std::make_unique<Group>(context_, std::move(release), config_.daemon.log.level,
                                 std::move(hooks), begin);
}

void Supervisor::open_groups() {
  const FirstRelease first = choose_first_release(config_, archive_);
  notes_ = first.notes;
  for (const auto& note : notes_) log_.warning("{}", note);
  config_.groups.clear();
  for (const GroupReleasePtr& release : first.groups) {
    config_.groups.push_back(release->config);
    try {
      groups_.push_back(make_group(release, Group::Begin::start));
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("groups.{}: {}", release->config.name, error.what()));
    }
  }
}

int Supervisor::run() {
  log_.info("appserverd {} started, pid {}, release {}, control socket {}", version_, ::getpid(),
            rollouts_->release(), config_.daemon.control_socket.native());
  warn_of_root();
  watch_signals();
  feed_watchdog();
  for (const auto& group : groups_) {
    for (const auto& address : group->status().listen)
      log_.info("{} listens on {}", group->name(), address);
    group->start();
  }
  group_changed();
  run_loop();
  wait_for_files();
  log_.info("appserverd stopped");
  return 0;
}

// A file system that hangs holds its thread, which nothing can end but the end of the process.
void Supervisor::wait_for_files() {
  std::promise<void> idle;
  std::thread joiner([this, &idle] {
    files_.join();
    idle.set_value();
  });
  if (idle.get_future().wait_for(kFilesAtStop) == std::future_status::ready) {
    joiner.join();
    return;
  }
  log_.error("reading or writing a file hangs; ending without it");
  log_.flush(std::chrono::steady_clock::now() + std::chrono::seconds(1));
  ::_exit(1);
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
    case SIGHUP: {
      RolloutRequest request;
      request.who = "SIGHUP";
      rollouts_->ask(std::move(request), nullptr);
      break;
    }
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

void Supervisor::watch_folder() {
  if (!config_.daemon.plugins.watch) return;
  DropDirectory::Hooks hooks;
  hooks.settled = [this] {
    if (!stopping_) rollouts_->folder_changed();
  };
  hooks.problem = [this](const std::string& problem) {
    log_.error("{}", problem);
    std::erase_if(notes_, [](const auto& note) { return note.starts_with(kFolderNote); });
    notes_.push_back(fmt::format("{}not watched: {}", kFolderNote, problem));
  };
  try {
    folder_ = std::make_unique<DropDirectory>(io_, config_.daemon.plugins.dir,
                                              DropDirectory::Timing{}, std::move(hooks));
    log_.info("watching {} for plugins", config_.daemon.plugins.dir.native());
    // What came while nobody watched.
    rollouts_->folder_changed();
  } catch (const std::exception& error) {
    notes_.push_back(
        fmt::format("{} is not watched: {}", config_.daemon.plugins.dir.native(), error.what()));
    log_.error("{}", notes_.back());
  }
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
  watch_folder();
}

void Supervisor::group_stopped(const std::string& group) {
  if (!stopping_) {
    rollouts_->group_stopped(group);
    return;
  }
  std::erase_if(groups_, [&](const auto& each) { return each->name() == group; });
  if (groups_.empty()) end();
}

void Supervisor::end() {
  signals_.cancel();
  watchdog_.cancel();
  folder_.reset();
  control_.reset();
  files_.stop();
  io_.stop();
}

void Supervisor::begin_stop(bool fast, const std::string& who) {
  log_.info("{} stop, asked for by {}", fast ? "fast" : "graceful", who);
  if (!std::exchange(stopping_, true)) {
    os::notify_service_manager("STOPPING=1\nSTATUS=stopping");
    folder_.reset();
  }
  rollouts_->stop("the daemon is stopping");
  if (groups_.empty()) {
    boost::asio::post(io_, [this] { end(); });
    return;
  }
  for (const auto& group : groups_) group->stop(fast);
}

void Supervisor::crashed(control::CrashRecord record, std::shared_ptr<WorkerProcess> process) {
  boost::asio::post(files_, [this, record = std::move(record),
                             process = std::move(process)]() mutable {
    std::string problem;
    std::uint64_t number = 0;
    try {
      const telemetry::CrashNote& note = process->page().crash;
      CrashStack stack = describe_crash(note);
      // The handler's word counts: one that got stuck in it ended otherwise.
      const int signal = note.signal.load();
      if (signal > 0 && signal < NSIG) record.signal = os::signal_name(signal);
      record.address = std::move(stack.address);
      record.stack = std::move(stack.frames);
      number = archive_.crashes.add(record);
    } catch (const std::exception& error) {
      problem = fmt::format("the crash of {}/{} cannot be recorded: {}", record.group, record.slot,
                            error.what());
    }
    auto view = std::make_shared<const ArchiveView>(look_at(archive_));
    // The process belongs to the loop.
    boost::asio::post(io_, [this, record = std::move(record), process = std::move(process), view,
                            number, problem] {
      rollouts_->replace_view(view);
      if (!problem.empty()) log_.error("{}", problem);
      if (number == 0) return;
      for (const auto& frame : record.stack)
        log_.write(telemetry::Level::error,
                   {record.group, static_cast<int>(record.slot), record.pid, {}}, "  at " + frame);
      log_.write(telemetry::Level::error,
                 {record.group, static_cast<int>(record.slot), record.pid, {}},
                 fmt::format("crash record {}: appserverctl crashes show {}", number, number));
    });
  });
}

// A note begins with the group that it is about.
void Supervisor::renew_notes(const Rollout::End& end) {
  const auto forget = [this](const std::string& subject) {
    std::erase_if(notes_, [&](const std::string& note) { return note.starts_with(subject); });
  };
  if (end.release != 0) {
    for (const auto& group : end.rolled) forget(group + ": ");
  }
  const bool well =
      end.result == control::RolloutResult::done || end.result == control::RolloutResult::partial;
  if (end.watch || end.release != 0) forget(kFolderNote);
  if (end.watch && !well && !stopping_) {
    notes_.push_back(fmt::format("{}its last change is not taken ({}): {}", kFolderNote,
                                 control::to_word(end.result), end.text));
  }
  for (const auto& note : end.not_done) {
    forget(note.substr(0, note.find(": ") + 2));
    notes_.push_back(note);
  }
}

void Supervisor::rollout_ended(const Rollout::End& end) {
  config_.groups.clear();
  for (const auto& group : groups_) config_.groups.push_back(group->release()->config);
  renew_notes(end);
  if (stopping_ || !up_) return;
  os::notify_service_manager(
      fmt::format("READY=1\nSTATUS=last reload: {}", control::to_word(end.result)));
}

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

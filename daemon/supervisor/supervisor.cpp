#include "supervisor/supervisor.hpp"

#include <fmt/format.h>
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
#include "os/process.hpp"
#include "supervisor/state_lock.hpp"

namespace appserver::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds kFilesAtStop{10};
constexpr std::chrono::seconds kStackAtStop{1};
constexpr const char* kUnwatchedNote = "plugin folder: not watched: ";
constexpr const char* kUntakenNote = "plugin folder: its last change is not taken ";

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

std::string monotonic_usec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::to_string(now.tv_sec * 1'000'000 + now.tv_nsec / 1000);
}

}  // namespace

Supervisor::Supervisor(const config::Config& config, const os::BootState& boot_state,
                       std::string version)
    : config_(config),
      version_(std::move(version)),
      log_(static_cast<telemetry::Level>(config.daemon.log.level),
           to_format(config.daemon.log.format)),
      context_{io_,
               boot_state,
               log_,
               [this](const std::shared_ptr<WorkerProcess>& worker, std::uint64_t given) {
                 bus_.connect(worker, given);
               },
               [this](const std::shared_ptr<WorkerProcess>& worker, std::uint64_t link) {
                 links_.want(worker, link);
               },
               [this](const std::shared_ptr<WorkerProcess>& worker) { links_.started(worker); },
               [this](const WorkerProcess& worker, const channel::Message& message) {
                 asks_.answered(worker, message);
               },
               [this](const WorkerProcess& worker) { asks_.ended(worker); }},
      control_([&] {
        control::ServerOptions options;
        options.socket = config.daemon.control_socket;
        return std::make_unique<control::Server>(io_, options, *this);
      }()),
      archive_(config.daemon.state_dir, lock_state(config.daemon.state_dir)),
      analysis_(io_),
      signals_(io_, SIGHUP, SIGTERM, SIGQUIT),
      watchdog_(io_) {
  signals_.add(SIGINT);
  signals_.add(SIGUSR1);
  signals_.add(SIGUSR2);
  if (::getpid() == 1) signals_.add(SIGCHLD);
  // It became writable in between, and nobody keeps a second daemon away yet.
  if (!archive_.lock && archive_.unwritable.empty()) archive_.mend();
  report_archive_problems();
  const FirstRelease first = open_groups();
  keeper_ = std::make_unique<ArchiveKeeper>(io_, files_, archive_, log_);
  const auto make = [this](GroupReleasePtr release) {
    return make_group(std::move(release), Group::Begin::roll);
  };
  Rollouts::Hooks hooks;
  hooks.begun = [this] {
    // Before READY=1 it would be taken for a reload of what has not started.
    if (!up_) return;
    os::notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec() +
                               "\nSTATUS=reloading");
  };
  hooks.ended = [this](const Rollout::End& end) { rollout_ended(end); };
  rollouts_ = std::make_unique<Rollouts>(RolloutTargets{context_, *keeper_, config_, groups_, make},
                                         first.number, first.trials, std::move(hooks));
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

FirstRelease Supervisor::open_groups() {
  FirstRelease first = choose_first_release(config_, archive_);
  notes_ = first.notes;
  notes_.insert(notes_.end(), first.folder_notes.begin(), first.folder_notes.end());
  folder_notes_ = first.folder_notes;
  for (const auto& note : notes_) log_.warning("{}", note);
  if (!first.problem.empty()) {
    log_.error("{}", first.problem);
    state_note_ = first.problem;
  }
  if (!first.not_recorded.empty()) {
    log_.error("{}", first.not_recorded);
    record_note_ = first.not_recorded;
  }
  config_.groups.clear();
  config_.left_out = {};
  for (const GroupReleasePtr& release : first.groups) {
    config_.groups.push_back(release->config);
    try {
      groups_.push_back(make_group(release, Group::Begin::start));
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("groups.{}: {}", release->config.name, error.what()));
    }
  }
  return first;
}

int Supervisor::run() {
  log_.info("appserverd {} started, pid {}, release {}, control socket {}", version_, ::getpid(),
            rollouts_->release(), config_.daemon.control_socket.native());
  warn_of_root();
  warn_of_memory();
  watch_signals();
  feed_watchdog();
  for (const auto& group : groups_) {
    for (const auto& address : group->status().listen)
      log_.info("{} listens on {}", group->name(), address);
    group->start();
  }
  watch_certificates();
  group_changed();
  run_loop();
  wait_for_files();
  log_.info("appserverd stopped");
  return 0;
}

// A file system that hangs holds its thread, which nothing can end but the end of the process.
void Supervisor::wait_for_files() {
  const bool analysed = analysis_.end(kStackAtStop);
  if (!analysed) log_.warning("the stack of a crash is not ready; its record goes without it");
  analysis_.tell_rest();
  std::promise<void> idle;
  std::thread joiner([this, &idle] {
    files_.join();
    idle.set_value();
  });
  const bool written = idle.get_future().wait_for(kFilesAtStop) == std::future_status::ready;
  if (written) {
    joiner.join();
    if (analysed) return;
    log_.info("appserverd stopped");
  } else {
    log_.error("reading or writing a file hangs; ending without it");
  }
  log_.flush(std::chrono::steady_clock::now() + std::chrono::seconds(1));
  ::_exit(written ? 0 : 1);
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

void Supervisor::warn_of_memory() {
  const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  const auto machine = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t bus = config_.daemon.bus.memory.value;
  if (machine == 0 || bus <= machine) return;
  log_.warning("daemon.bus.memory is {} MiB, and the machine has {} MiB: it bounds nothing",
               bus >> 20, machine >> 20);
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
    case SIGCHLD:
      os::reap_strangers();
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
  hooks.settled = [this](std::set<std::string> taken_away) {
    if (!stopping_) rollouts_->folder_changed(std::move(taken_away));
  };
  hooks.problem = [this](const std::string& problem) {
    forget_notes(kUnwatchedNote);
    notes_.push_back(kUnwatchedNote + problem);
    log_.error("{}", notes_.back());
  };
  hooks.mended = [this] {
    forget_notes(kUnwatchedNote);
    log_.info("watching {} for plugins again", config_.daemon.plugins.dir.native());
  };
  folder_ = std::make_unique<DropDirectory>(io_, config_.daemon.plugins.dir,
                                            DropDirectory::Timing{}, std::move(hooks));
  if (!folder_->is_watching()) return;
  log_.info("watching {} for plugins", config_.daemon.plugins.dir.native());
  // What came while nobody watched. What is gone from there has perhaps not been mounted yet.
  rollouts_->folder_changed({});
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
  if (groups_.empty()) bus_.stop([this] { end(); });
}

void Supervisor::end() {
  signals_.cancel();
  watchdog_.cancel();
  folder_.reset();
  renewal_->stop();
  control_.reset();
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
    bus_.stop([this] { end(); });
    return;
  }
  for (const auto& group : groups_) group->stop(fast);
}

void Supervisor::crashed(control::CrashRecord record, std::shared_ptr<WorkerProcess> process) {
  const telemetry::CrashNote* const note = &process->page().crash;
  analysis_.add(std::move(record), {std::move(process), note},
                [this](control::CrashRecord analysed) { record_crash(std::move(analysed)); });
}

void Supervisor::record_crash(control::CrashRecord record) {
  // Told before it is written: a disk that hangs hides nothing.
  const telemetry::Origin source{record.group, static_cast<int>(record.slot), record.pid, {}};
  for (const auto& frame : record.stack)
    log_.write(telemetry::Level::error, source, "  at " + frame);
  const auto crash = std::make_shared<control::CrashRecord>(std::move(record));
  const auto tell = [this, crash](const std::string& problem) {
    log_.error("the crash of {}/{} cannot be recorded: {}", crash->group, crash->slot, problem);
  };
  // What came of it is told from there: where the daemon stops, the loop has ended by then.
  const auto work = [this, crash, tell](Archive& archive, const ArchiveKeeper::GivenUp&) {
    try {
      if (!archive.unwritable.empty() && !archive.mend())
        throw std::runtime_error(archive.describe_unwritable());
      const std::uint64_t number = archive.crashes.add(*crash);
      log_.write(telemetry::Level::error,
                 {crash->group, static_cast<int>(crash->slot), crash->pid, {}},
                 fmt::format("crash record {}: appserverctl crashes show {}", number, number));
    } catch (const std::exception& error) {
      tell(error.what());
    }
  };
  keeper_->run(work, ArchiveKeeper::kLimit, [tell](const std::string& problem) {
    if (!problem.empty()) tell(problem);
  });
}

void Supervisor::forget_notes(const std::string& subject) {
  std::erase_if(notes_, [&](const std::string& note) { return note.starts_with(subject); });
}

std::vector<std::string> Supervisor::notes() const {
  std::vector<std::string> result;
  if (!state_note_.empty()) result.push_back(state_note_);
  result.insert(result.end(), notes_.begin(), notes_.end());
  add_tls_notes(result);
  if (!record_note_.empty()) result.push_back("history: " + record_note_);
  return result;
}

void Supervisor::renew_notes(const Rollout::End& end) {
  if (end.release != 0) {
    for (const auto& group : end.rolled) forget_notes(group + ": ");
    for (const auto& group : config_.groups) {
      if (find(group.name) == nullptr) forget_notes(group.name + ": ");
    }
  }
  for (const auto& group : end.as_asked) forget_notes(group + ": ");
  const bool well =
      end.result == control::RolloutResult::done || end.result == control::RolloutResult::partial;
  // That it is not watched stays true until its watcher says otherwise.
  if (end.watch || end.release != 0) forget_notes(kUntakenNote);
  if (end.release != 0 || !end.not_recorded.empty()) record_note_ = end.not_recorded;
  if (end.writable) state_note_.clear();
  if (end.watch && !well && !stopping_) {
    notes_.push_back(
        fmt::format("{}({}): {}", kUntakenNote, control::to_word(end.result), end.text));
  }
  if (end.watch && well) {
    // All of the folder was looked at: what is still so is among what was not done.
    for (const auto& note : folder_notes_) std::erase(notes_, note);
    folder_notes_ = end.not_done;
  }
  for (const auto& note : end.not_done) {
    forget_notes(note.substr(0, note.find(": ") + 2));
    notes_.push_back(note);
  }
}

void Supervisor::rollout_ended(const Rollout::End& end) {
  renew_notes(end);
  config_.groups.clear();
  for (const auto& group : groups_) config_.groups.push_back(group->release()->config);
  // What it left alone is to have them, too.
  renewal_->look();
  // A group for which the start waited may be gone now; those who wait for a rollout come first.
  if (!up_) boost::asio::post(io_, [this] { group_changed(); });
  if (stopping_ || !up_) return;
  os::notify_service_manager(
      fmt::format("READY=1\nSTATUS=last reload: {}", control::to_word(end.result)));
}

}  // namespace appserver::supervisor

#include "plugin/loader_trace.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/process.hpp"

namespace appserver::plugin {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxOutput = std::size_t{1} << 20;

// PT_INTERP of the running program: what loads plugins into workers, too.
std::string loader_of_this_process() {
  std::string path;
  // The program itself comes first.
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_INTERP) continue;
          *static_cast<std::string*>(found) =
              reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
        }
        return 1;
      },
      &path);
  return path;
}

void require(int error, const char* what) {
  if (error != 0) os::throw_system_error(error, what);
}

// What a child gets: nothing but its output.
class SpawnActions {
 public:
  explicit SpawnActions(int output) {
    require(::posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init");
    require(::posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
    require(::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0),
            "posix_spawn_file_actions_addopen");
    for (const int number : {1, 2}) {
      require(::posix_spawn_file_actions_adddup2(&actions_, output, number),
              "posix_spawn_file_actions_adddup2");
    }
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    require(::posix_spawnattr_setsigmask(&attributes_, &none), "posix_spawnattr_setsigmask");
    require(::posix_spawnattr_setsigdefault(&attributes_, &all), "posix_spawnattr_setsigdefault");
    require(
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
        "posix_spawnattr_setflags");
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// Ended and reaped with its owner.
class LoaderProcess {
 public:
  LoaderProcess(std::string loader, std::string file) {
    std::array<int, 2> ends{};
    os::check(::pipe2(ends.data(), O_CLOEXEC), "pipe2()");
    output_.reset(ends[0]);
    const os::Fd input(ends[1]);
    const SpawnActions spawn(input.get());
    std::array<std::string, 4> variables{"LD_TRACE_LOADED_OBJECTS=1", "LD_WARN=1", "LD_BIND_NOW=1",
                                         "LC_ALL=C"};
    std::array<char*, 5> environment{};
    std::ranges::transform(variables, environment.begin(),
                           [](std::string& one) { return one.data(); });
    std::array<char*, 3> arguments{loader.data(), file.data(), nullptr};
    const int error = ::posix_spawn(&pid_, loader.c_str(), spawn.actions(), spawn.attributes(),
                                    arguments.data(), environment.data());
    require(error, fmt::format("posix_spawn(\"{}\")", loader).c_str());
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  }
  LoaderProcess(const LoaderProcess&) = delete;
  LoaderProcess& operator=(const LoaderProcess&) = delete;
  ~LoaderProcess() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    os::retry_on_interrupt([&] { return ::waitpid(pid_, &status, 0); });
  }

  // All that it prints; nothing where that does not end in time or within the bound.
  std::optional<std::string> read_all(Clock::time_point deadline) {
    std::string text;
    std::array<char, 4096> buffer{};
    while (text.size() < kMaxOutput) {
      if (!wait(output_.get(), deadline)) return std::nullopt;
      const auto got = os::retry_on_interrupt(
          [&] { return ::read(output_.get(), buffer.data(), buffer.size()); });
      os::check(got, "read(output of the dynamic loader)");
      if (got == 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return std::nullopt;
  }

  // Its wait status; nothing where it does not end in time.
  std::optional<int> end(Clock::time_point deadline) {
    if (!pidfd_ || !wait(pidfd_.get(), deadline)) return std::nullopt;
    int status = 0;
    os::check(os::retry_on_interrupt([&] { return ::waitpid(pid_, &status, 0); }), "waitpid({})",
              pid_);
    pid_ = 0;
    return status;
  }

 private:
  static bool wait(int fd, Clock::time_point deadline) {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return false;
      pollfd event{fd, POLLIN, 0};
      const int ready = ::poll(&event, 1, static_cast<int>(left.count()));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) os::check(ready, "poll(the dynamic loader)");
    }
  }

  os::Fd output_;
  os::Fd pidfd_;
  pid_t pid_ = 0;
};

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// What stands before any of these marks.
std::string_view before(std::string_view text, std::initializer_list<std::string_view> marks) {
  for (const auto mark : marks) text = text.substr(0, text.find(mark));
  return trimmed(text);
}

template <typename List, typename Value>
void add_once(List& list, Value value) {
  if (std::ranges::find(list, value) == list.end()) list.push_back(std::move(value));
}

void parse_line(std::string_view line, LoaderTrace& trace) {
  constexpr std::string_view kUndefined = "undefined symbol: ";
  constexpr std::string_view kSymbol = "symbol ";
  constexpr std::string_view kArrow = " => ";
  if (line.starts_with(kUndefined)) {
    // A version and the file that needs it may follow.
    add_once(trace.undefined,
             std::string(before(line.substr(kUndefined.size()), {"\t", ", version ", " ("})));
  } else if (line.starts_with(kSymbol) &&
             line.find(" not defined in file ") != std::string_view::npos) {
    add_once(trace.undefined, std::string(before(line.substr(kSymbol.size()), {","})));
  } else if (line.find(": version `") != std::string_view::npos) {
    add_once(trace.versions, std::string(before(line, {" (required by "})));
  } else if (const auto arrow = line.find(kArrow); arrow != std::string_view::npos) {
    const auto name = trimmed(line.substr(0, arrow));
    const auto path = before(line.substr(arrow + kArrow.size()), {" (0x"});
    trace.libraries.push_back({std::string(name), path == "not found" ? "" : std::string(path)});
  } else if (line.find(": error while loading shared libraries: ") != std::string_view::npos) {
    trace.failure = line;
  }
}

}  // namespace

LoaderTrace parse_loader_trace(std::string_view output) {
  LoaderTrace trace;
  while (!output.empty()) {
    const auto end = std::min(output.find('\n'), output.size());
    parse_line(trimmed(output.substr(0, end)), trace);
    output.remove_prefix(std::min(end + 1, output.size()));
  }
  return trace;
}

LoaderTrace trace_loader(const std::filesystem::path& file, std::chrono::milliseconds deadline) {
  LoaderTrace trace;
  const auto loader = loader_of_this_process();
  if (loader.empty()) {
    trace.failure = "this program is linked statically and has no dynamic loader to ask";
    return trace;
  }
  const auto until = Clock::now() + deadline;
  LoaderProcess process(loader, std::filesystem::absolute(file).native());
  const auto output = process.read_all(until);
  if (!output) {
    trace.failure = fmt::format("{} did not come to an end", loader);
    return trace;
  }
  trace = parse_loader_trace(*output);
  const auto status = process.end(until);
  if (!status) {
    trace.failure = fmt::format("{} did not come to an end", loader);
  } else if (WIFSIGNALED(*status)) {
    trace.failure = fmt::format("{} was ended by {}", loader, os::signal_name(WTERMSIG(*status)));
  } else if (WEXITSTATUS(*status) != 0 && trace.failure.empty()) {
    trace.failure = fmt::format("{} ended with code {}", loader, WEXITSTATUS(*status));
  }
  return trace;
}

}  // namespace appserver::plugin

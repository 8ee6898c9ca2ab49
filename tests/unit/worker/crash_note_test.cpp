#include "worker/crash_note.hpp"

#include <link.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "os/error.hpp"
#include "plugin/load.hpp"

using namespace appserver;
using telemetry::CrashNote;

namespace {

constexpr unsigned kDeadline = 30;  // seconds

// What a worker's page is to its supervisor.
struct Shared {
  CrashNote note;
  std::atomic<std::uint64_t> turns{0};
};

class SharedMemory {
 public:
  SharedMemory()
      : memory_(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) {
    REQUIRE(memory_ != MAP_FAILED);
    new (memory_) Shared;
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(memory_, sizeof(Shared)); }

  Shared* operator->() const { return static_cast<Shared*>(memory_); }
  Shared& operator*() const { return *static_cast<Shared*>(memory_); }

 private:
  void* memory_;
};

// A worker's process, as far as its end goes: notes its crashes, and does `work`.
class Dying {
 public:
  explicit Dying(const std::function<void(Shared&)>& work) : pid_(os::check(::fork(), "fork()")) {
    if (pid_ > 0) return;
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    // A stack that overflows soon.
    const rlimit small{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_STACK, &small);
    ::alarm(kDeadline);
    try {
      worker::note_crashes(shared->note);
      worker::record_modules(shared->note, APPSERVER_SCRIPTED_PLUGIN);
      work(*shared);
    } catch (const std::exception&) {
      ::_exit(2);
    }
    ::_exit(0);
  }

  // As waitpid(2) has it.
  int end() const {
    int status = 0;
    os::check(os::retry_on_interrupt([&] { return ::waitpid(pid_, &status, 0); }), "waitpid()");
    return status;
  }

  void signal(int number) const { os::check(::kill(pid_, number), "kill()"); }

  SharedMemory shared;

 private:
  pid_t pid_;
};

const CrashNote::Module* module_at(const CrashNote& note, std::uint64_t address) {
  const auto modules = std::span(note.module).first(note.modules);
  const auto found = std::ranges::find_if(
      modules, [&](const auto& one) { return one.begin <= address && address < one.end; });
  return found == modules.end() ? nullptr : &*found;
}

std::string path_at(const CrashNote& note, std::uint64_t address) {
  const CrashNote::Module* const module = module_at(note, address);
  return module == nullptr ? "" : module->path.data();
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

template <typename Function>
std::uint64_t address_of(Function* function) {
  return reinterpret_cast<std::uintptr_t>(function);
}

// Whether `address` lies in a small function that begins at `function`.
template <typename Function>
bool lies_in(std::uint64_t address, Function* function) {
  return address >= address_of(function) && address < address_of(function) + 256;
}

// Whether one of the `count` innermost frames does: without optimisation functions of the library
// stand on the stack, too.
template <typename Function>
bool ends_in(const CrashNote& note, Function* function, std::size_t count) {
  const auto frames = std::span(note.stack).first(std::min<std::size_t>(note.frames, count));
  return std::ranges::any_of(frames, [&](std::uint64_t at) { return lies_in(at, function); });
}

// For functions that must stand on the stack as they are: no tail calls, nothing known to the
// compiler.
volatile int after = 0;
int* volatile wrong = nullptr;
void (*volatile nowhere)() = nullptr;

[[gnu::noinline]] void read_wrong() { after = *wrong; }

[[gnu::noinline]] void call_read_wrong() {
  read_wrong();
  after = 1;
}

[[gnu::noinline]] void call_nowhere() {
  nowhere();
  after = 2;
}

[[gnu::noinline]] int overflow(int depth) {
  std::array<char, 512> room;
  room.fill(static_cast<char>(depth));
  const int sum = depth == 0 ? 0 : overflow(depth + 1);
  return sum + room[static_cast<std::size_t>(depth) % room.size()];
}

[[gnu::noinline]] void spin(Shared& shared) {
  for (;;) shared.turns.fetch_add(1, std::memory_order_relaxed);
}

[[gnu::noinline]] void give_up() { std::abort(); }

}  // namespace

TEST_CASE("a worker that reads where nothing is leaves the address, and the calls that led there") {
  const std::uintptr_t address = GENERATE(as<std::uintptr_t>{}, 0, 0x10);
  const Dying worker([&](Shared&) {
    wrong = reinterpret_cast<int*>(address);
    call_read_wrong();
  });
  const int status = worker.end();
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGSEGV);
  CHECK(note.address == address);
  REQUIRE(note.frames > 2);
  REQUIRE(note.frames <= CrashNote::kFrames);
  CHECK(lies_in(note.stack[0], read_wrong));
  CHECK(lies_in(note.stack[1], call_read_wrong));
  CHECK(path_at(note, note.stack[0]) == this_program());
}

TEST_CASE("a crash in the plugin is found in its file") {
  const Dying worker([](Shared& shared) {
    const appserver_plugin plugin = plugin::load(APPSERVER_SCRIPTED_PLUGIN);
    worker::record_modules(shared.note, APPSERVER_SCRIPTED_PLUGIN);
    plugin.on_worker_start(nullptr);
  });
  REQUIRE(WIFSIGNALED(worker.end()));
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGSEGV);
  CHECK(note.address == 0);
  REQUIRE(note.frames > 1);
  CHECK(path_at(note, note.stack[0]) == APPSERVER_SCRIPTED_PLUGIN);
  CHECK(path_at(note, note.stack[1]) == this_program());
}

TEST_CASE("what was loaded after the modules were recorded is in the note all the same") {
  const Dying worker(
      [](Shared&) { plugin::load(APPSERVER_SCRIPTED_PLUGIN).on_worker_start(nullptr); });
  REQUIRE(WIFSIGNALED(worker.end()));
  const CrashNote& note = worker.shared->note;
  REQUIRE(note.frames > 1);
  CHECK(path_at(note, note.stack[0]) == APPSERVER_SCRIPTED_PLUGIN);
}

TEST_CASE("a call of nothing is noted with its caller") {
  const Dying worker([](Shared&) { call_nowhere(); });
  REQUIRE(WIFSIGNALED(worker.end()));
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGSEGV);
  CHECK(note.address == 0);
  REQUIRE(note.frames > 1);
  CHECK(note.stack[0] == 0);
  CHECK(lies_in(note.stack[1], call_nowhere));
}

TEST_CASE("a stack overflow is noted, with as many of its frames as there is room for") {
  const Dying worker([](Shared&) { after = overflow(1); });
  const int status = worker.end();
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGSEGV);
  CHECK(note.address != 0);
  CHECK(note.frames == CrashNote::kFrames);
  CHECK(ends_in(note, overflow, 4));
  CHECK(lies_in(note.stack[CrashNote::kFrames - 1], overflow));
}

TEST_CASE("a worker that hangs says where when it is aborted from outside") {
  const Dying worker([](Shared& shared) { spin(shared); });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(kDeadline);
  while (worker.shared->turns.load() == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  worker.signal(SIGABRT);
  const int status = worker.end();
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGABRT);
  CHECK(note.address == 0);
  CHECK(ends_in(note, spin, 4));
}

TEST_CASE("every way to die of a fault is noted, and ends the worker as it would have") {
  const int signal = GENERATE(SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS);
  const Dying worker([&](Shared&) { ::raise(signal); });
  const int status = worker.end();
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == signal);
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == signal);
  CHECK(note.address == 0);
  CHECK(note.frames > 2);
}

TEST_CASE("a thread's end is the worker's, and is noted as such") {
  const Dying worker([](Shared&) { std::thread(give_up).join(); });
  const int status = worker.end();
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGABRT);
  CHECK(ends_in(note, give_up, CrashNote::kFrames));
}

TEST_CASE("threads that die at once leave one whole note") {
  const Dying worker([](Shared&) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back(call_read_wrong);
    for (auto& thread : threads) thread.join();
  });
  const int status = worker.end();
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGSEGV);
  REQUIRE(note.frames > 1);
  CHECK(lies_in(note.stack[0], read_wrong));
  CHECK(lies_in(note.stack[1], call_read_wrong));
}

TEST_CASE("a process that a plugin forks leaves no note when it dies") {
  const Dying worker([](Shared&) {
    const pid_t child = os::check(::fork(), "fork()");
    if (child == 0) std::abort();
    int status = 0;
    ::waitpid(child, &status, 0);
    ::_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 0 : 1);
  });
  CHECK(worker.end() == 0);
  CHECK(worker.shared->note.signal.load() == 0);
}

TEST_CASE("a lock that nobody gives back keeps no dying worker") {
  const auto begin = std::chrono::steady_clock::now();
  const Dying worker([](Shared& shared) {
    // The loader's lock, for good.
    std::thread([&shared] {
      ::dl_iterate_phdr(
          [](dl_phdr_info*, std::size_t, void* argument) -> int {
            for (;;) ++static_cast<Shared*>(argument)->turns;
          },
          &shared);
    }).detach();
    while (shared.turns == 0) std::this_thread::yield();
    give_up();
  });
  REQUIRE(WIFSIGNALED(worker.end()));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(kDeadline / 2));
  const CrashNote& note = worker.shared->note;
  CHECK(note.signal.load() == SIGABRT);
  CHECK(note.frames > 0);
}

TEST_CASE("the program, the plugin and the libraries are recorded with their files") {
  CrashNote note;
  plugin::load(APPSERVER_SCRIPTED_PLUGIN);
  worker::record_modules(note, APPSERVER_SCRIPTED_PLUGIN);
  REQUIRE(note.modules > 2);
  CHECK(note.module[0].path.data() == this_program());
  CHECK(path_at(note, address_of(read_wrong)) == this_program());
  CHECK(std::string(note.module[1].path.data()) == APPSERVER_SCRIPTED_PLUGIN);
  const auto modules = std::span(note.module).first(note.modules);
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  for (const auto& module : modules) {
    CHECK(module.begin % page == 0);
    CHECK(module.begin < module.end);
    CHECK(std::filesystem::exists(module.path.data()));
  }
  CHECK(path_at(note, address_of(::waitpid)).find("libc") != std::string::npos);
  worker::record_modules(note, APPSERVER_SCRIPTED_PLUGIN);
  CHECK(modules.size() == note.modules);
}

#include "worker/crash_note.hpp"

#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "os/error.hpp"

namespace appserver::worker {
namespace {

using telemetry::CrashNote;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define APPSERVER_SIGNALS_ARE_TAKEN true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define APPSERVER_SIGNALS_ARE_TAKEN true
#endif
#endif
#ifndef APPSERVER_SIGNALS_ARE_TAKEN
#define APPSERVER_SIGNALS_ARE_TAKEN false
#endif

constexpr bool kSignalsAreTaken = APPSERVER_SIGNALS_ARE_TAKEN;
constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
// The handler's own frames and the kernel's trampoline lie before the interrupted one.
constexpr std::size_t kHandlerFrames = 8;
// backtrace(3) and dl_iterate_phdr(3) can wait for a lock that nobody gives back.
constexpr unsigned kLongestNote = 2;  // seconds
// The unwinder needs some KiB, the vector registers that the kernel saves some more.
constexpr std::size_t kStack = std::size_t{128} << 10;

// A signal handler can reach nothing but statics.
std::atomic<CrashNote*> crash_note{nullptr};
std::atomic<pid_t> owner{0};
std::atomic<bool> note_begun{false};
alignas(16) std::array<std::byte, kStack> alternate_stack;

struct Place {
  std::uintptr_t instruction = 0;
  std::uintptr_t stack = 0;
  std::uintptr_t link = 0;  // the register that holds the caller, on processors that have one
};

Place interrupted_place(const void* context) {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return {static_cast<std::uintptr_t>(machine.gregs[REG_RIP]),
          static_cast<std::uintptr_t>(machine.gregs[REG_RSP]), 0};
#elif defined(__aarch64__)
  return {static_cast<std::uintptr_t>(machine.pc), static_cast<std::uintptr_t>(machine.sp),
          static_cast<std::uintptr_t>(machine.regs[30])};
#else
#error "say here where this processor keeps its instruction pointer"
#endif
}

// After a call of what is no code, nobody can unwind; the caller is where the call has left it.
std::uintptr_t caller_of_nowhere(const Place& place) {
  if (place.link != 0) return place.link;
  return place.stack == 0 ? 0 : *reinterpret_cast<const std::uintptr_t*>(place.stack);
}

// The count is bounded here: this process may have overwritten it.
std::span<const CrashNote::Module> known_modules(const CrashNote& note) {
  return std::span(note.module).first(std::min<std::size_t>(note.modules, note.module.size()));
}

bool is_code(const CrashNote& note, std::uintptr_t address) {
  return std::ranges::any_of(known_modules(note), [&](const auto& module) {
    return module.begin <= address && address < module.end;
  });
}

bool has_address(const siginfo_t& info) {
  // From the kernel, not from kill(2), whose sender is where the address would be.
  return info.si_code > 0 && (info.si_signo == SIGSEGV || info.si_signo == SIGBUS ||
                              info.si_signo == SIGFPE || info.si_signo == SIGILL);
}

CrashNote::Module module_of(const dl_phdr_info& object, std::string_view path) {
  std::uintptr_t begin = ~std::uintptr_t{0};
  std::uintptr_t end = 0;
  for (const ElfW(Phdr) & header : std::span(object.dlpi_phdr, object.dlpi_phnum)) {
    if (header.p_type != PT_LOAD) continue;
    begin = std::min<std::uintptr_t>(begin, header.p_vaddr);
    end = std::max<std::uintptr_t>(end, header.p_vaddr + header.p_memsz);
  }
  CrashNote::Module module;
  if (end == 0) return module;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  module.begin = object.dlpi_addr + begin / page * page;
  module.end = object.dlpi_addr + end;
  if (path.size() < module.path.size()) std::ranges::copy(path, module.path.begin());
  return module;
}

// Adds what was loaded after record_modules(), without memory of its own.
int add_object(dl_phdr_info* object, std::size_t, void* argument) {
  auto& note = *static_cast<CrashNote*>(argument);
  const std::string_view name(object->dlpi_name);
  if (!name.starts_with('/') || note.modules >= note.module.size()) return 0;
  const CrashNote::Module module = module_of(*object, name);
  const auto known = known_modules(note);
  if (std::ranges::find(known, module.begin, &CrashNote::Module::begin) == known.end()) {
    note.module[note.modules++] = module;
  }
  return 0;
}

// A deadlock from here on ends the process.
void set_alarm() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(SIGALRM, &action, nullptr);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  ::alarm(kLongestNote);
}

void write_note(CrashNote& note, const siginfo_t& info, const Place& place) {
  // First what needs no luck: whatever goes wrong with the rest, this much is told.
  note.address = has_address(info) ? reinterpret_cast<std::uintptr_t>(info.si_addr) : 0;
  note.stack[0] = place.instruction;
  note.frames = 1;
  note.signal.store(info.si_signo, std::memory_order_release);

  std::array<void*, CrashNote::kFrames + kHandlerFrames> buffer;
  const int count = ::backtrace(buffer.data(), static_cast<int>(buffer.size()));
  const std::span all(buffer.data(), static_cast<std::size_t>(std::max(count, 0)));
  auto from = std::ranges::find(all, reinterpret_cast<void*>(place.instruction));
  std::uint32_t frames = 0;
  for (; from != all.end() && frames < CrashNote::kFrames; ++from) {
    note.stack[frames++] = reinterpret_cast<std::uintptr_t>(*from);
  }
  if (frames > 1) {
    note.frames = frames;
  } else if (const std::uintptr_t caller = caller_of_nowhere(place); is_code(note, caller)) {
    note.stack[1] = caller;
    note.frames = 2;
  }
  ::dl_iterate_phdr(add_object, &note);
}

// As if there had been no handler: the core dump shows the first signal's own information.
void end_by(siginfo_t& info) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(info.si_signo, &action, nullptr);
  // Blocked in the handler, it comes as soon as that returns.
  if (::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::syscall(SYS_gettid), info.si_signo, &info) < 0)
    ::raise(info.si_signo);
}

void on_crash(int, siginfo_t* info, void* context) {
  const int saved = errno;
  if (::getpid() == owner.load()) {
    if (note_begun.exchange(true)) {
      // Another thread is writing, and ends all when it is done.
      for (;;) ::pause();
    }
    set_alarm();
    write_note(*crash_note.load(), *info, interrupted_place(context));
  }
  end_by(*info);
  errno = saved;
}

struct Found {
  std::string program;
  std::string plugin;
  std::vector<CrashNote::Module> first;  // the program and the plugin
  std::vector<CrashNote::Module> others;
};

int on_object(dl_phdr_info* object, std::size_t, void* argument) {
  auto& found = *static_cast<Found*>(argument);
  const std::string_view name(object->dlpi_name);
  if (name.empty()) {
    found.first.push_back(module_of(*object, found.program));
  } else if (name == found.plugin) {
    found.first.push_back(module_of(*object, name));
  } else if (name.starts_with('/')) {
    // Else the kernel's own, which is no file. The reader follows no links.
    std::error_code unknown;
    const std::filesystem::path real = std::filesystem::canonical(name, unknown);
    found.others.push_back(module_of(*object, unknown ? std::string(name) : real.native()));
  }
  return 0;
}

}  // namespace

void note_crashes(CrashNote& note) {
  if (kSignalsAreTaken) return;
  crash_note = &note;
  owner = ::getpid();
  // The first call loads the unwinder, which no handler may do.
  std::array<void*, 1> frame;
  ::backtrace(frame.data(), static_cast<int>(frame.size()));
  const stack_t stack{alternate_stack.data(), 0, alternate_stack.size()};
  os::check(::sigaltstack(&stack, nullptr), "sigaltstack()");
  struct sigaction action {};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  // A fault within the handler ends the process at once.
  ::sigfillset(&action.sa_mask);
  ::sigdelset(&action.sa_mask, SIGALRM);
  for (const int signal : kSignals) {
    os::check(::sigaction(signal, &action, nullptr), "sigaction({})", signal);
  }
}

void record_modules(CrashNote& note, const std::filesystem::path& plugin) {
  std::error_code unknown;
  // Empty where /proc is not there: the module is known by its addresses then.
  Found found{std::filesystem::read_symlink("/proc/self/exe", unknown).native(),
              plugin.empty() ? std::string() : std::filesystem::absolute(plugin).native(),
              {},
              {}};
  ::dl_iterate_phdr(on_object, &found);
  found.first.insert(found.first.end(), found.others.begin(), found.others.end());
  const std::size_t count = std::min(found.first.size(), note.module.size());
  std::copy_n(found.first.begin(), count, note.module.begin());
  note.modules = static_cast<std::uint32_t>(count);
}

}  // namespace appserver::worker

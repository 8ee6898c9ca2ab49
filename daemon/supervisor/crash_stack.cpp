#include "supervisor/crash_stack.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>

#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/snapshot.hpp"
#include "plugin/symbols.hpp"

namespace appserver::supervisor {
namespace {

using telemetry::CrashNote;

// A module as the dead worker wrote it down: every part of it may be garbage.
struct Module {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string path;
};

std::vector<Module> modules_of(const CrashNote& note) {
  const auto count = std::min<std::size_t>(note.modules, CrashNote::kModules);
  std::vector<Module> modules;
  for (const auto& module : std::span(note.module).first(count)) {
    const std::string_view path(module.path.data(),
                                ::strnlen(module.path.data(), module.path.size()));
    modules.push_back({module.begin, module.end, std::string(path)});
  }
  return modules;
}

// On one line, whatever a worker or a symbol table holds.
std::string harmless(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

std::string file_name(const std::string& path) {
  return harmless(path.substr(path.rfind('/') + 1));
}

// What one crash may cost the thread that reads files, and its record the disk.
constexpr std::size_t kMaxFiles = 16;
constexpr std::size_t kMaxFunction = 1024;

// A worker chose the path: no link of its is followed, and only what it can read itself and cannot
// have made is opened, for opening a FIFO or a device does something already.
os::Fd open_module(const std::string& path) {
  // One that was cut off in front leads nowhere.
  if (!path.starts_with('/')) return {};
  const os::Fd place(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!place || ::fstat(place.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const bool vouched_for = status.st_uid == 0 || status.st_uid == ::geteuid();
  if (!vouched_for || (status.st_mode & S_IROTH) == 0) return {};
  if (static_cast<std::uint64_t>(status.st_size) > plugin::kMaxPluginSize) return {};
  const std::string same = fmt::format("/proc/self/fd/{}", place.get());
  return os::Fd(::open(same.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

struct Place {
  std::uint64_t offset = 0;  // of the frame's address from where the module was loaded
  std::string function;      // empty: not known
};

// Where these frames are in the module; `lookups` are addresses within the calling instructions.
std::vector<Place> find_places(const Module& module, std::span<const std::uint64_t> frames,
                               std::vector<std::uint64_t> lookups, std::set<std::string>& files) {
  std::vector<Place> places;
  for (const auto frame : frames) places.push_back({frame - module.begin, {}});
  if (files.size() >= kMaxFiles || !files.insert(module.path).second) return places;
  const os::Fd file = open_module(module.path);
  if (!file) return places;
  try {
    const plugin::Symbols symbols(file.get());
    const std::uint64_t base = module.begin - symbols.first_page();
    for (auto& lookup : lookups) lookup -= base;
    const auto functions = symbols.functions_at(lookups);
    for (std::size_t i = 0; i < places.size(); ++i)
      places[i] = {frames[i] - base, harmless(functions[i].substr(0, kMaxFunction))};
  } catch (const std::exception&) {
    // A stack without names is still a stack.
    return places;
  }
  return places;
}

std::string describe_frame(const Module& module, const Place& place) {
  const auto where = fmt::format("{}+{:#x}", file_name(module.path), place.offset);
  return place.function.empty() ? where : fmt::format("{} {}", where, place.function);
}

}  // namespace

CrashStack describe_crash(const CrashNote& note) {
  CrashStack stack;
  const auto signal = note.signal.load(std::memory_order_acquire);
  if (signal == 0) return stack;
  if (signal == SIGSEGV || signal == SIGBUS) stack.address = fmt::format("{:#x}", note.address);
  const auto count = std::min<std::size_t>(note.frames, CrashNote::kFrames);
  const std::vector<std::uint64_t> frames(note.stack.begin(),
                                          note.stack.begin() + static_cast<std::ptrdiff_t>(count));
  for (const auto frame : frames) stack.frames.push_back(fmt::format("{:#x}", frame));
  std::set<std::string> files;
  for (const auto& module : modules_of(note)) {
    std::vector<std::size_t> inside;
    std::vector<std::uint64_t> here;
    std::vector<std::uint64_t> lookups;
    for (std::size_t i = 0; i < count; ++i) {
      // A return address points behind its call, which may end the function or the module.
      const auto lookup = i == 0 ? frames[i] : frames[i] - 1;
      if (lookup < module.begin || lookup >= module.end) continue;
      inside.push_back(i);
      here.push_back(frames[i]);
      lookups.push_back(lookup);
    }
    if (inside.empty()) continue;
    const auto places = find_places(module, here, std::move(lookups), files);
    for (std::size_t i = 0; i < inside.size(); ++i)
      stack.frames[inside[i]] = describe_frame(module, places[i]);
  }
  return stack;
}

}  // namespace appserver::supervisor

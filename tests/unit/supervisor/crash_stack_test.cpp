#include "supervisor/crash_stack.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "os/fd.hpp"
#include "plugin/load.hpp"

using namespace appserver;
using supervisor::describe_crash;
using telemetry::CrashNote;

namespace {

const std::string kPlugin = std::string(APPSERVER_FIXTURES) + "/answers.so";

std::uint64_t number(const void* address) {
  std::uint64_t result = 0;
  std::memcpy(&result, &address, sizeof(result));
  return result;
}

// A hook of the fixture, as loaded into this process.
struct Loaded {
  std::uint64_t create = 0;
  std::uint64_t begin = 0;
};

Loaded load() {
  const auto table = plugin::load(kPlugin);
  const auto* const code = reinterpret_cast<const void*>(table.create);
  Dl_info info{};
  REQUIRE(::dladdr(code, &info) != 0);
  return {number(code), number(info.dli_fbase)};
}

struct Note {
  CrashNote note;

  explicit Note(int signal) { note.signal = signal; }
  void frame(std::uint64_t address) { note.stack[note.frames++] = address; }
  void module(std::uint64_t begin, std::uint64_t end, const std::string& path) {
    auto& module = note.module[note.modules++];
    module.begin = begin;
    module.end = end;
    // As a worker does it: its last part where it is longer.
    const auto kept = std::min(path.size(), module.path.size());
    std::copy(path.end() - static_cast<std::ptrdiff_t>(kept), path.end(), module.path.begin());
  }
};

// Short enough for a note, wherever the build is.
class ShortPath {
 public:
  ShortPath() {
    std::string name = std::filesystem::temp_directory_path() / "crash-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    std::filesystem::copy_file(kPlugin, folder_ / "shop.so");
  }
  ShortPath(const ShortPath&) = delete;
  ShortPath& operator=(const ShortPath&) = delete;
  ~ShortPath() { std::filesystem::remove_all(folder_); }

  std::filesystem::path operator/(const char* name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

}  // namespace

TEST_CASE("without a note there is no stack") {
  const auto stack = describe_crash(CrashNote{});
  CHECK(stack.address.empty());
  CHECK(stack.frames.empty());
}

TEST_CASE("a frame in a plugin is its file, the place in it and the function") {
  const ShortPath folder;
  const auto loaded = load();
  Note crash(SIGSEGV);
  crash.note.address = 0x10;
  crash.frame(loaded.create);
  crash.frame(loaded.create + 1);
  crash.module(loaded.begin, loaded.begin + 0x10000, folder / "shop.so");
  const auto stack = describe_crash(crash.note);
  CHECK(stack.address == "0x10");
  REQUIRE(stack.frames.size() == 2);
  CHECK(stack.frames[0] == fmt::format("shop.so+{:#x} create", loaded.create - loaded.begin));
  CHECK(stack.frames[1] == fmt::format("shop.so+{:#x} create", loaded.create - loaded.begin + 1));
}

TEST_CASE("a return address belongs to the function that called, not to the one behind it") {
  const ShortPath folder;
  const auto loaded = load();
  Note crash(SIGABRT);
  crash.frame(loaded.create);
  crash.frame(loaded.create);
  crash.module(loaded.begin, loaded.begin + 0x10000, folder / "shop.so");
  const auto stack = describe_crash(crash.note);
  CHECK(stack.address.empty());
  CHECK(stack.frames.at(0).ends_with(" create"));
  CHECK_FALSE(stack.frames.at(1).ends_with(" create"));
}

TEST_CASE("a frame in no module is its address") {
  Note crash(SIGBUS);
  crash.frame(0x7f0012345678);
  crash.frame(0);
  crash.module(0x1000, 0x2000, "/nowhere/shop.so");
  CHECK(describe_crash(crash.note).frames == std::vector<std::string>{"0x7f0012345678", "0x0"});
}

TEST_CASE("a module that cannot be read gives its name and the place, without a function") {
  const ShortPath folder;
  std::string path = folder / "absent.so";
  SECTION("absent") {}
  SECTION("a path that was cut off in front") { path = "oad/absent.so"; }
  SECTION("no ELF file") { std::ofstream(path) << "text"; }
  SECTION("a FIFO") { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }
  SECTION("a directory") { std::filesystem::create_directory(path); }
  SECTION("a link") { std::filesystem::create_symlink(folder / "shop.so", path); }
  SECTION("a device") { path = "/dev/zero"; }
  Note crash(SIGSEGV);
  crash.frame(0x1234);
  crash.module(0x1000, 0x2000, path);
  const auto name = std::filesystem::path(path).filename().native();
  CHECK(describe_crash(crash.note).frames == std::vector<std::string>{name + "+0x234"});
}

TEST_CASE("what is no file of code is not even opened") {
  const ShortPath folder;
  const std::string path = folder / "pipe.so";
  REQUIRE(::mkfifo(path.c_str(), 0644) == 0);
  const os::Fd events(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  REQUIRE(::inotify_add_watch(events.get(), path.c_str(), IN_OPEN) >= 0);
  Note crash(SIGSEGV);
  crash.frame(0x1234);
  crash.module(0x1000, 0x2000, path);
  describe_crash(crash.note);
  std::array<char, 256> event;
  CHECK(::read(events.get(), event.data(), event.size()) < 0);
}

TEST_CASE("garbage in a note stays within its bounds and on its lines") {
  Note crash(12345);
  crash.note.frames = UINT32_MAX;
  crash.note.modules = UINT32_MAX;
  for (auto& address : crash.note.stack) address = UINT64_MAX - 1;
  for (auto& module : crash.note.module) {
    module.begin = 1;
    module.end = UINT64_MAX;
    module.path.fill('\n');
  }
  const auto stack = describe_crash(crash.note);
  REQUIRE(stack.frames.size() == CrashNote::kFrames);
  for (const auto& frame : stack.frames) CHECK(frame.find('\n') == std::string::npos);
}

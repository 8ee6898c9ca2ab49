#include "plugin/snapshot.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>

#include "files.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"

using namespace appserver;
using namespace appserver::plugin::test;

namespace {

std::timespec changed(const std::filesystem::path& file) {
  struct stat status {};
  os::check(::stat(file.c_str(), &status), "stat(\"{}\")", file.native());
  return status.st_ctim;
}

// Overwrites the file in place until its time stamp has moved, as any writer's would within a clock
// tick.
void overwrite(const std::filesystem::path& file, std::string_view content) {
  const auto before = changed(file);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (;;) {
    const auto target = os::open_file(file, O_WRONLY);
    os::write_all(target.get(), content);
    const auto now = changed(file);
    if (now.tv_sec != before.tv_sec || now.tv_nsec != before.tv_nsec) return;
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error("the clock stands still");
  }
}

struct Target {
  explicit Target(const Folder& folder)
      : path(folder / "copy"), file(os::open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600)) {}
  std::filesystem::path path;
  os::Fd file;
};

}  // namespace

TEST_CASE("a copy is equal to its source, whatever the size") {
  const Folder folder;
  const std::size_t size = GENERATE(0u, 1u, 4096u, 131072u, 131073u, 3'000'000u);
  std::string content(size, '\0');
  for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 7 / 3);
  const Target target(folder);
  plugin::take_snapshot(write(folder / "source", content), target.file.get());
  REQUIRE(read(target.path) == content);
}

TEST_CASE("a copy between file systems is equal to its source") {
  const Folder folder;
  const std::filesystem::path shared = "/dev/shm";
  if (!std::filesystem::is_directory(shared)) return;
  const auto source = shared / ("appserver-test-" + std::to_string(::getpid()));
  write(source, std::string(300'000, 'x'));
  const Target target(folder);
  plugin::take_snapshot(source, target.file.get());
  std::filesystem::remove(source);
  REQUIRE(read(target.path) == std::string(300'000, 'x'));
}

TEST_CASE("a source that is written while it is copied is copied again") {
  const Folder folder;
  const auto source = write(folder / "source", "old old old");
  const Target target(folder);
  int copies = 0;
  plugin::take_snapshot(source, target.file.get(), [&](int from, int to, std::uint64_t size) {
    plugin::copy_content(from, to, size);
    if (++copies == 1) overwrite(source, "NEW new NEW");
  });
  CHECK(copies == 2);
  CHECK(read(target.path) == "NEW new NEW");
}

TEST_CASE("a source that is replaced by a shorter file while it is copied gives the new one") {
  const Folder folder;
  const auto source = write(folder / "source", "a long old file");
  const Target target(folder);
  int copies = 0;
  plugin::take_snapshot(source, target.file.get(), [&](int from, int to, std::uint64_t size) {
    if (++copies == 1) std::filesystem::rename(write(folder / "next", "new"), source);
    plugin::copy_content(from, to, size);
    if (copies == 1) std::filesystem::resize_file(target.path, 3);
  });
  CHECK(copies == 2);
  CHECK(read(target.path) == "new");
}

TEST_CASE("a source that keeps changing is refused after three tries") {
  const Folder folder;
  const auto source = write(folder / "source", "content");
  const Target target(folder);
  int copies = 0;
  const auto copy = [&](int from, int to, std::uint64_t size) {
    plugin::copy_content(from, to, size);
    ++copies;
    overwrite(source, copies % 2 == 0 ? "content" : "CONTENT");
  };
  CHECK_THROWS_WITH(plugin::take_snapshot(source, target.file.get(), copy),
                    "the file is still being written; try again once the copy or build is done");
  CHECK(copies == 3);
}

TEST_CASE("a copy that came out short is made again") {
  const Folder folder;
  const auto source = write(folder / "source", "content");
  const Target target(folder);
  int copies = 0;
  plugin::take_snapshot(source, target.file.get(), [&](int from, int to, std::uint64_t size) {
    plugin::copy_content(from, to, ++copies == 1 ? 3 : size);
  });
  CHECK(copies == 2);
  CHECK(read(target.path) == "content");
}

TEST_CASE("what is no regular file is refused, and nobody waits for it") {
  const Folder folder;
  const Target target(folder);
  const auto fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(plugin::take_snapshot(fifo, target.file.get()), "not a file but a FIFO");
  CHECK_THROWS_WITH(plugin::take_snapshot(folder / ".", target.file.get()),
                    "not a file but a directory");
  CHECK_THROWS_WITH(plugin::take_snapshot("/dev/zero", target.file.get()),
                    "not a file but a device");
  const auto absent = folder / "absent";
  CHECK_THROWS_WITH(plugin::take_snapshot(absent, target.file.get()),
                    "open(\"" + absent.native() + "\"): No such file or directory");
}

TEST_CASE("a file that is too large for a plugin is refused before it is copied") {
  const Folder folder;
  const Target target(folder);
  const auto source = write(folder / "source", "");
  std::filesystem::resize_file(source, plugin::kMaxPluginSize + 1);
  CHECK_THROWS_WITH(plugin::take_snapshot(source, target.file.get()),
                    "too large for a plugin: 1073741825 bytes, and 1073741824 are the most");
  CHECK(read(target.path).empty());
}

#include "plugin/store.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <random>

#include "files.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/load.hpp"
#include "plugin/sha256.hpp"

using namespace appserver;
using namespace appserver::plugin::test;
using plugin::Build;
using plugin::Store;
namespace fs = std::filesystem;

namespace {

std::string hash_of(const fs::path& file) {
  return plugin::sha256(os::open_file(file, O_RDONLY).get());
}

mode_t mode_of(const fs::path& file) {
  struct stat status {};
  os::check(::stat(file.c_str(), &status), "stat(\"{}\")", file.native());
  return status.st_mode & 07777;
}

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_directory()) files.push_back(entry.path());
  }
  return files;
}

// A good plugin with its own content: bytes behind the end of an ELF file mean nothing.
fs::path make_plugin(const Folder& folder, std::string_view tail) {
  return write(folder / "hello.so", read(fixture("answers")) + std::string(tail));
}

void set_age(const Build& build, std::chrono::hours age) {
  fs::last_write_time(build.file, fs::file_time_type::clock::now() - age);
}

// What `work` returns in a process of its own, so that its limits and mounts end with it.
std::string in_child(const std::function<std::string()>& work) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const os::Fd from_child(ends[0]);
  os::Fd to_parent(ends[1]);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::string said;
    try {
      said = work();
    } catch (const std::exception& error) {
      said = error.what();
    }
    os::write_all(to_parent.get(), said);
    ::_exit(0);
  }
  to_parent.reset();
  std::string said;
  char buffer[4096];
  for (;;) {
    const auto got = ::read(from_child.get(), buffer, sizeof(buffer));
    if (got <= 0) break;
    said.append(buffer, static_cast<std::size_t>(got));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return said;
}

// Until this process is killed; a failure ends it.
[[noreturn]] void add_for_ever(const fs::path& directory, const fs::path& source) noexcept {
  for (;;) {
    Store store(directory);
    store.add(source);
    store.collect({}, 0);
  }
}

// What adding `source` says, and whether it left anything behind.
std::string failure_of_add(Store& store, const fs::path& directory, const fs::path& source) {
  std::string said = "added";
  try {
    store.add(source);
  } catch (const std::exception& error) {
    said = error.what();
  }
  return said + (files_in(directory).empty() ? "" : "; and left something behind");
}

}  // namespace

TEST_CASE("a stored build is a read-only copy under its hash, and loads") {
  const Folder folder;
  const auto directory = folder / "state/store";
  Store store(directory);
  const auto build = store.add(fixture("answers"));
  CHECK(build.name == "answers");
  CHECK(build.version == "1.0.0");
  CHECK(build.abi == "1.1");
  CHECK(build.sdk == "0.1.0");
  CHECK(build.build_id.size() == 40);
  CHECK(build.size == fs::file_size(fixture("answers")));
  CHECK(build.sha256 == hash_of(fixture("answers")));
  CHECK(build.file == directory / build.sha256 / "answers.so");
  CHECK(read(build.file) == read(fixture("answers")));
  CHECK(mode_of(build.file) == 0444);
  CHECK(files_in(directory) == std::vector{build.file});
  CHECK(std::string(plugin::load(build.file).name) == "answers");
}

TEST_CASE("workers under another user can read the store, whatever the umask") {
  const Folder folder;
  const auto old = ::umask(077);
  Store store(folder / "state/store");
  const auto build = store.add(fixture("answers"));
  ::umask(old);
  CHECK(mode_of(folder / "state") == 0755);
  CHECK(mode_of(folder / "state/store") == 0755);
  CHECK(mode_of(build.file.parent_path()) == 0755);
  CHECK(mode_of(build.file) == 0444);
}

TEST_CASE("a build is described by name, version, the start of its hash, and ABI") {
  Build build;
  build.sha256 = "c81f0e2ab3";
  build.name = "hello";
  build.version = "1.0.0";
  build.abi = "1.0";
  REQUIRE(plugin::describe(build) == "hello 1.0.0 (c81f0e2, abi 1.0)");
}

TEST_CASE("the same content is stored once, and stays the very file that workers have mapped") {
  const Folder folder;
  Store store(folder / "store");
  const auto first = store.add(fixture("answers"));
  struct stat before {};
  REQUIRE(::stat(first.file.c_str(), &before) == 0);
  const auto again = store.add(write(folder / "renamed.so", read(fixture("answers"))));
  struct stat after {};
  REQUIRE(::stat(again.file.c_str(), &after) == 0);
  CHECK(again.file == first.file);
  CHECK(after.st_ino == before.st_ino);
  CHECK(files_in(folder / "store").size() == 1);
}

TEST_CASE("a damaged stored copy is replaced when its build is added again") {
  const Folder folder;
  Store store(folder / "store");
  const auto build = store.add(fixture("answers"));
  const auto good = read(build.file);
  fs::permissions(build.file, fs::perms::owner_all);
  SECTION("changed") { write(build.file, "X" + good.substr(1)); }
  SECTION("cut short") { write(build.file, good.substr(0, 100)); }
  SECTION("empty") { write(build.file, ""); }
  SECTION("gone") { fs::remove(build.file); }
  SECTION("a symbolic link") {
    fs::remove(build.file);
    fs::create_symlink(fixture("answers"), build.file);
  }
  const auto again = store.add(fixture("answers"));
  CHECK(again.file == build.file);
  CHECK(fs::is_regular_file(fs::symlink_status(build.file)));
  CHECK(read(build.file) == good);
  CHECK(mode_of(build.file) == 0444);
}

TEST_CASE("the store holds a build as long as its copy is there with the same content") {
  const Folder folder;
  Store store(folder / "store");
  const auto build = store.add(fixture("answers"));
  const auto other = store.add(make_plugin(folder, "other"));
  const auto good = read(build.file);
  REQUIRE(store.holds(build));
  REQUIRE(Store(folder / "store").holds(build));
  REQUIRE_FALSE(Store(folder / "elsewhere").holds(build));
  fs::permissions(build.file, fs::perms::owner_all);
  SECTION("changed") { write(build.file, "X" + good.substr(1)); }
  SECTION("cut short") { write(build.file, good.substr(0, 100)); }
  SECTION("gone") { fs::remove_all(build.file.parent_path()); }
  SECTION("a link to the same content") {
    fs::remove(build.file);
    fs::create_symlink(write(folder / "copy.so", good), build.file);
  }
  SECTION("a FIFO") {
    fs::remove(build.file);
    REQUIRE(::mkfifo(build.file.c_str(), 0600) == 0);
  }
  SECTION("collected") { store.collect(std::vector{other.sha256}, 0); }
  CHECK_FALSE(store.holds(build));
  CHECK(store.holds(other));
}

TEST_CASE("what happens to the source harms nothing stored") {
  const Folder folder;
  Store store(folder / "store");
  const auto source = make_plugin(folder, "one");
  const auto content = read(source);
  const auto build = store.add(source);
  SECTION("overwritten in place") { write(source, std::string(content.size(), 'x')); }
  SECTION("truncated") { fs::resize_file(source, 0); }
  SECTION("deleted") { fs::remove(source); }
  CHECK(read(build.file) == content);
  CHECK(std::string(plugin::load(build.file).name) == "answers");
}

TEST_CASE("a link to a release is followed") {
  const Folder folder;
  Store store(folder / "store");
  fs::create_symlink(fixture("answers"), folder / "current.so");
  REQUIRE(store.add(folder / "current.so").name == "answers");
}

TEST_CASE("a refused plugin is named with its reason, and leaves nothing in the store") {
  const Folder folder;
  Store store(folder / "store");
  const auto no_note = fixture("no_note");
  CHECK_THROWS_WITH(
      store.add(no_note),
      no_note.native() +
          ": not an appserverd plugin: no .note.appserver; build it with appserver_add_plugin");
  CHECK_THROWS_AS(store.add(write(folder / "empty.so", "")), plugin::BadPlugin);
  const auto good = read(fixture("answers"));
  CHECK_THROWS_AS(store.add(write(folder / "cut.so", good.substr(0, good.size() / 2))),
                  plugin::BadPlugin);
  CHECK_THROWS_AS(store.add(folder / "store"), plugin::BadPlugin);
  CHECK_THROWS_AS(store.add(folder / "absent.so"), os::SystemError);
  CHECK(files_in(folder / "store").empty());
}

TEST_CASE("what a killed add left behind is removed when the store opens, and builds stay") {
  const Folder folder;
  const auto directory = folder / "store";
  const auto build = Store(directory).add(fixture("answers"));
  write(directory / ".incoming-aB3xYz", "half a plug");
  Store store(directory);
  CHECK(files_in(directory) == std::vector{build.file});
}

TEST_CASE("a store on a disk that cannot be written is read, and touches nothing") {
  const Folder folder;
  const auto directory = folder / "store";
  CHECK_FALSE(fs::exists(directory));
  CHECK_FALSE(Store(directory, os::Access::read_only).holds(Build{}));
  CHECK_FALSE(fs::exists(directory));
  const auto build = Store(directory).add(make_plugin(folder, "x"));
  write(directory / ".incoming-abc", "half");
  const auto before = files_in(directory);
  Store store(directory, os::Access::read_only);
  CHECK(store.holds(build));
  store.collect({}, 0);
  CHECK(files_in(directory) == before);
}

TEST_CASE("an add that is killed at any moment leaves a store that works") {
  const Folder folder;
  const auto directory = folder / "store";
  const auto source = make_plugin(folder, std::string(4 << 20, 'x'));
  const auto hash = hash_of(source);
  std::mt19937 random(7);
  for (int round = 0; round < 25; ++round) {
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) add_for_ever(directory, source);
    // Not to wait for anything: the moment of the kill is what varies.
    ::usleep(static_cast<useconds_t>(random() % 30'000));
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    Store store(directory);
    for (const auto& file : files_in(directory)) REQUIRE(hash_of(file) == hash);
    REQUIRE(hash_of(store.add(source).file) == hash);
  }
}

TEST_CASE("a full disk is reported as such, and nothing is left behind") {
  const Folder folder;
  const auto source = make_plugin(folder, std::string(1 << 20, 'x'));
  const auto directory = folder / "small";
  fs::create_directory(directory);
  const auto said = in_child([&]() -> std::string {
    const bool apart = ::unshare(CLONE_NEWNS) == 0 &&
                       ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       ::mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=256k") == 0;
    if (!apart) return "";
    Store store(directory / "store");
    const auto failure = failure_of_add(store, directory, source);
    return failure + "; then " + store.add(fixture("answers")).name;
  });
  if (said.empty()) {
    WARN("skipped: mounting needs root");
    return;
  }
  REQUIRE(said == "storing \"" + source.native() + "\" in \"" + (directory / "store").native() +
                      "\", which needs more free space: No space left on device; then answers");
}

TEST_CASE("a file size limit is reported like a full disk, and nothing is left behind") {
  const Folder folder;
  const auto source = make_plugin(folder, std::string(1 << 20, 'x'));
  const auto directory = folder / "store";
  const auto said = in_child([&] {
    const rlimit limit{65536, 65536};
    os::check(::setrlimit(RLIMIT_FSIZE, &limit), "setrlimit(RLIMIT_FSIZE)");
    std::signal(SIGXFSZ, SIG_IGN);
    Store store(directory);
    return failure_of_add(store, directory, source);
  });
  REQUIRE(said == "storing \"" + source.native() + "\" in \"" + directory.native() +
                      "\", which needs more free space: File too large");
}

TEST_CASE("collecting keeps the newest builds and those that are named") {
  const Folder folder;
  Store store(folder / "store");
  std::vector<Build> builds;
  for (const auto* tail : {"0", "1", "2", "3", "4"})
    builds.push_back(store.add(make_plugin(folder, tail)));
  for (int i = 0; i < 5; ++i)
    set_age(builds[static_cast<std::size_t>(i)], std::chrono::hours(10 - i));
  const auto left = [&] {
    std::string tails;
    for (const auto& build : builds) {
      if (fs::exists(build.file)) tails += read(build.file).back();
    }
    return tails;
  };

  write(folder / "store/README", "not a build");
  const std::vector<std::string> keep = {builds[1].sha256};
  store.collect(keep, 2);
  CHECK(left() == "134");
  CHECK_FALSE(fs::exists(builds[0].file.parent_path()));

  SECTION("a build that was added again counts as new") {
    store.add(make_plugin(folder, "1"));
    store.collect({}, 1);
    CHECK(left() == "1");
  }
  SECTION("no build at all may stay") {
    store.collect({}, 0);
    CHECK(left().empty());
  }
  SECTION("more may be kept than there are") {
    store.collect({}, 100);
    CHECK(left() == "134");
  }
  CHECK(fs::exists(folder / "store/README"));
}

TEST_CASE("builds of one plugin do not push out those of another, and those in use do not count") {
  const Folder folder;
  Store store(folder / "store");
  const auto rare = store.add(fixture("exits_on_request"));
  set_age(rare, std::chrono::hours(1000));
  std::vector<Build> busy;
  for (const auto* tail : {"0", "1", "2", "3"}) {
    busy.push_back(store.add(make_plugin(folder, tail)));
    set_age(busy.back(), std::chrono::hours(10 - static_cast<int>(busy.size())));
  }
  REQUIRE(rare.name != busy[0].name);
  store.collect(std::vector{busy[3].sha256}, 1);
  CHECK(store.holds(rare));
  CHECK(store.holds(busy[3]));
  CHECK(store.holds(busy[2]));
  CHECK_FALSE(store.holds(busy[1]));
  CHECK_FALSE(store.holds(busy[0]));
}

TEST_CASE("what an add() or a removal that was cut off has left is collected") {
  const Folder folder;
  Store store(folder / "store");
  const auto build = store.add(make_plugin(folder, "one"));
  const auto rest = folder / "store" / std::string(64, 'a');
  fs::create_directory(rest);
  store.collect({}, 100);
  CHECK_FALSE(fs::exists(rest));
  CHECK(store.holds(build));
}

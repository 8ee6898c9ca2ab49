#include "supervisor/drop_directory.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <set>
#include <system_error>
#include <vector>

#include "loop.hpp"

using namespace appserver;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using supervisor::DropDirectory;
namespace fs = std::filesystem;

namespace {

constexpr DropDirectory::Timing kTiming{50ms, 2000ms};

// Whatever the umask.
void make(const fs::path& folder) {
  fs::create_directory(folder);
  REQUIRE(::chmod(folder.c_str(), 0755) == 0);
}

// A plugin folder, watched, and what was said of it.
struct Watched {
  explicit Watched(DropDirectory::Timing with = kTiming) : timing(with) {
    std::string name = fs::temp_directory_path() / "drop-XXXXXX";
    top = ::mkdtemp(name.data());
    folder = top / "plugins";
    make(folder);
    watch();
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() { fs::remove_all(top); }

  void watch() {
    drop.emplace(io, folder, timing,
                 DropDirectory::Hooks{[this](std::set<std::string> names) {
                                        ++calls;
                                        taken_away = std::move(names);
                                      },
                                      [this](const std::string& said) { problems.push_back(said); },
                                      [this] { ++mended; }});
  }

  // False where the deadline comes first.
  template <typename State>
  bool until(State&& state) {
    return test::run_until(io, std::forward<State>(state));
  }

  void run_for(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }

  // Whether it comes to just so many calls, with no other after them.
  bool comes_to(int wanted) {
    if (!until([&] { return calls >= wanted; })) return false;
    run_for(4 * timing.quiet);
    return calls == wanted;
  }

  DropDirectory::Timing timing;
  boost::asio::io_context io;
  fs::path top;
  fs::path folder;
  int calls = 0;
  int mended = 0;
  std::set<std::string> taken_away;
  std::vector<std::string> problems;
  std::optional<DropDirectory> drop;
};

void write(const fs::path& file, const std::string& content = "content") {
  std::ofstream(file) << content;
}

}  // namespace

TEST_CASE("a file that is dropped is told of once") {
  Watched watched;
  write(watched.folder / "shop.so");
  CHECK(watched.comes_to(1));
  write(watched.folder / "shop.yaml");
  CHECK(watched.comes_to(2));
  CHECK(watched.problems.empty());
}

TEST_CASE("a description that is taken away is told by name, unless it is there again") {
  Watched watched;
  for (const char* name : {"shop.yaml", "moved.yaml", "again.yaml", "plugin.so"})
    write(watched.folder / name);
  REQUIRE(watched.comes_to(1));
  CHECK(watched.taken_away.empty());
  fs::remove(watched.folder / "shop.yaml");
  fs::rename(watched.folder / "moved.yaml", watched.folder / "moved.yaml.off");
  fs::remove(watched.folder / "again.yaml");
  write(watched.folder / "again.yaml");
  fs::remove(watched.folder / "plugin.so");
  REQUIRE(watched.comes_to(2));
  CHECK(watched.taken_away == std::set<std::string>{"moved", "shop"});
}

TEST_CASE("a description that was taken away is told of at each change until it is there again") {
  Watched watched;
  write(watched.folder / "shop.yaml");
  REQUIRE(watched.comes_to(1));
  fs::rename(watched.folder / "shop.yaml", watched.top / "shop.yaml");
  REQUIRE(watched.comes_to(2));
  write(watched.folder / "plugin.so");
  REQUIRE(watched.comes_to(3));
  CHECK(watched.taken_away == std::set<std::string>{"shop"});
  fs::rename(watched.top / "shop.yaml", watched.folder / "shop.yaml");
  REQUIRE(watched.comes_to(4));
  CHECK(watched.taken_away.empty());
}

TEST_CASE("what went with the folder itself was not taken away") {
  Watched watched;
  write(watched.folder / "shop.yaml");
  write(watched.folder / "mail.yaml");
  REQUIRE(watched.comes_to(1));
  fs::remove(watched.folder / "mail.yaml");
  REQUIRE(watched.comes_to(2));
  CHECK(watched.taken_away == std::set<std::string>{"mail"});
  SECTION("another one in its place") {
    fs::rename(watched.folder, watched.top / "before");
    make(watched.folder);
  }
  SECTION("removed whole, and made again") {
    fs::remove_all(watched.folder);
    make(watched.folder);
  }
  REQUIRE(watched.until([&] { return watched.calls >= 3; }));
  CHECK(watched.taken_away.empty());
}

TEST_CASE("a file that is written slowly is told of once, after it is closed") {
  Watched watched({50ms, 20s});
  std::ofstream file(watched.folder / "shop.so");
  for (int part = 0; part < 4; ++part) {
    file << "part" << std::flush;
    watched.run_for(3 * watched.timing.quiet);
    CHECK(watched.calls == 0);
  }
  file.close();
  CHECK(watched.comes_to(1));
}

TEST_CASE("a file is not told of while another is still being written") {
  Watched watched({50ms, 20s});
  std::ofstream slow(watched.folder / "slow.so");
  slow << "part" << std::flush;
  write(watched.folder / "shop.so");
  watched.run_for(3 * watched.timing.quiet);
  CHECK(watched.calls == 0);
  SECTION("it is closed") { slow.close(); }
  SECTION("it is deleted") { fs::remove(watched.folder / "slow.so"); }
  SECTION("it gets another name") {
    fs::rename(watched.folder / "slow.so", watched.folder / "slow.tmp");
  }
  CHECK(watched.comes_to(1));
}

TEST_CASE("many files at once are one call") {
  Watched watched;
  for (int i = 0; i < 50; ++i) write(watched.folder / ("plugin" + std::to_string(i) + ".so"));
  CHECK(watched.comes_to(1));
}

TEST_CASE("what is renamed, linked, deleted and moved away is told of") {
  Watched watched;
  write(watched.top / "new.so");
  fs::create_directory(watched.folder / "versions");
  write(watched.folder / "versions" / "1.so");

  fs::rename(watched.top / "new.so", watched.folder / "shop.so");
  CHECK(watched.comes_to(1));
  fs::create_hard_link(watched.folder / "shop.so", watched.folder / "copy.so");
  CHECK(watched.comes_to(2));
  fs::rename(watched.folder / "copy.so", watched.top / "copy.so");
  CHECK(watched.comes_to(3));
  fs::remove(watched.folder / "shop.so");
  CHECK(watched.comes_to(4));
  fs::create_symlink("versions/1.so", watched.folder / ".shop.so.next");
  fs::rename(watched.folder / ".shop.so.next", watched.folder / "shop.so");
  CHECK(watched.comes_to(5));
}

TEST_CASE("names that are no plugin's are not told of") {
  Watched watched;
  for (const char* name : {".incoming-shop.so", ".shop.so", "shop.so.tmp", "shop.so~", "README",
                           "shop.yaml.swp", "so", "4913"})
    write(watched.folder / name);
  fs::create_directory(watched.folder / "versions.so");
  fs::remove(watched.folder / "README");
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.calls == 0);
}

TEST_CASE("a change of mode alone is not told of") {
  Watched watched;
  write(watched.folder / "shop.so");
  REQUIRE(watched.comes_to(1));
  fs::permissions(watched.folder / "shop.so", fs::perms::owner_all);
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.calls == 1);
}

TEST_CASE(
    "a writer that never ends is told of after the longest wait, and holds up nothing after") {
  Watched watched({50ms, 1500ms});
  const auto start = std::chrono::steady_clock::now();
  std::ofstream hung(watched.folder / "hung.so");
  hung << "part" << std::flush;
  REQUIRE(watched.until([&] { return watched.calls == 1; }));
  CHECK(std::chrono::steady_clock::now() - start >= watched.timing.longest);

  const auto next = std::chrono::steady_clock::now();
  write(watched.folder / "shop.so");
  REQUIRE(watched.until([&] { return watched.calls == 2; }));
  CHECK(std::chrono::steady_clock::now() - next < watched.timing.longest);
}

TEST_CASE("changes that never cease are told of at the longest wait") {
  Watched watched({100ms, 400ms});
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (watched.calls < 2 && std::chrono::steady_clock::now() < end) {
    write(watched.folder / "shop.so");
    watched.run_for(10ms);
  }
  CHECK(watched.calls == 2);
}

TEST_CASE("changes that the kernel had no room for are told of") {
  int room = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> room;
  REQUIRE(room > 0);
  Watched watched;
  write(watched.folder / "README");
  for (int i = 0; i <= room; ++i) {  // two events each
    fs::rename(watched.folder / (i % 2 == 0 ? "README" : "LICENSE"),
               watched.folder / (i % 2 == 0 ? "LICENSE" : "README"));
  }
  CHECK(watched.comes_to(1));
}

TEST_CASE("a folder that is gone is looked for, and told of when it is back") {
  Watched watched;
  SECTION("removed") { fs::remove_all(watched.folder); }
  SECTION("moved away") { fs::rename(watched.folder, watched.top / "old"); }
  REQUIRE(watched.until([&] { return !watched.problems.empty(); }));
  CHECK_THAT(watched.problems.front(), Contains(watched.folder.string()) &&
                                           Contains("No such file or directory") &&
                                           Contains("make the folder"));
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.problems.size() == 1);
  CHECK(watched.calls == 0);

  CHECK(watched.mended == 0);

  make(watched.folder);
  CHECK(watched.comes_to(1));
  CHECK(watched.mended == 1);
  write(watched.folder / "shop.so");
  CHECK(watched.comes_to(2));
  CHECK(watched.mended == 1);
}

TEST_CASE("a folder that takes another's place is told of, and the old one no longer watched") {
  Watched watched;
  make(watched.top / "next");
  fs::rename(watched.folder, watched.top / "old");
  fs::rename(watched.top / "next", watched.folder);
  CHECK(watched.comes_to(1));
  CHECK(watched.problems.empty());
  write(watched.top / "old" / "shop.so");
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.calls == 1);
  write(watched.folder / "shop.so");
  CHECK(watched.comes_to(2));
}

TEST_CASE("a folder that others may write to is not watched until they may not, with the way out") {
  Watched watched;
  watched.drop.reset();
  SECTION("anybody") { ::chmod(watched.folder.c_str(), 0757); }
  SECTION("a group") { ::chmod(watched.folder.c_str(), 0775); }
  watched.watch();
  REQUIRE(watched.problems.size() == 1);
  CHECK_THAT(watched.problems[0], Contains("chmod go-w " + watched.folder.string()));
  CHECK_FALSE(watched.drop->is_watching());
  ::chmod(watched.folder.c_str(), 0755);
  CHECK(watched.comes_to(1));
  CHECK(watched.drop->is_watching());
  CHECK(watched.mended == 1);
}

TEST_CASE("a folder of another user is not watched, with the way out") {
  if (::geteuid() != 0) {
    WARN("not root: nothing can be given to another user");
    return;
  }
  Watched watched;
  watched.drop.reset();
  REQUIRE(::chown(watched.folder.c_str(), 12345, 0) == 0);
  watched.watch();
  REQUIRE(watched.problems.size() == 1);
  CHECK_THAT(watched.problems[0], Contains("belongs to uid 12345") && Contains("chown 0 "));
}

TEST_CASE("what is dropped while others may write to the folder is told of once they may not") {
  Watched watched;
  ::chmod(watched.folder.c_str(), 0777);
  write(watched.folder / "shop.so");
  REQUIRE(watched.until([&] { return !watched.problems.empty(); }));
  CHECK_THAT(watched.problems.front(), Contains("chmod go-w"));
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.calls == 0);
  ::chmod(watched.folder.c_str(), 0755);
  CHECK(watched.comes_to(1));
  CHECK(watched.problems.size() == 1);
}

TEST_CASE("a folder that others may write to from now on is noticed without a file that moves") {
  Watched watched;
  ::chmod(watched.folder.c_str(), 0777);
  REQUIRE(watched.until([&] { return !watched.problems.empty(); }));
  CHECK_THAT(watched.problems.front(), Contains("chmod go-w " + watched.folder.string()));
  CHECK_FALSE(watched.drop->is_watching());
  ::chmod(watched.folder.c_str(), 0755);
  CHECK(watched.comes_to(1));
  CHECK(watched.mended == 1);
}

TEST_CASE("a folder that gets another safe mode is watched on, and that is no change") {
  Watched watched;
  ::chmod(watched.folder.c_str(), 0750);
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.calls == 0);
  CHECK(watched.problems.empty());
  write(watched.folder / "shop.so");
  CHECK(watched.comes_to(1));
}

TEST_CASE("a folder that is not there, or is none, is named, and watched once it is there") {
  Watched watched;
  watched.drop.reset();
  fs::remove(watched.folder);
  watched.watch();
  REQUIRE(watched.problems.size() == 1);
  CHECK_THAT(watched.problems[0],
             Contains(watched.folder.string()) && Contains("No such file or directory"));
  write(watched.folder);
  REQUIRE(watched.until([&] { return watched.problems.size() == 2; }));
  CHECK_THAT(watched.problems[1], Contains(watched.folder.string()) && Contains("Not a directory"));
  CHECK(watched.mended == 0);
  fs::remove(watched.folder);
  make(watched.folder);
  CHECK(watched.comes_to(1));
  CHECK(watched.mended == 1);
  write(watched.folder / "shop.so");
  CHECK(watched.comes_to(2));
}

TEST_CASE("a watch may end within its own call, and none comes after") {
  Watched watched;
  watched.drop.reset();
  watched.drop.emplace(watched.io, watched.folder, watched.timing,
                       DropDirectory::Hooks{[&](const std::set<std::string>&) {
                                              ++watched.calls;
                                              watched.drop.reset();
                                            },
                                            [](const std::string&) {}, [] {}});
  write(watched.folder / "shop.so");
  REQUIRE(watched.until([&] { return watched.calls == 1; }));
  write(watched.folder / "shop.so");
  watched.run_for(6 * watched.timing.quiet);
  CHECK(watched.calls == 1);
}

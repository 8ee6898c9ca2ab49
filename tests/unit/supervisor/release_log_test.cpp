#include "supervisor/release_log.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <random>

#include "record_files.hpp"
#include "sample_releases.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using supervisor::Release;
using supervisor::ReleaseLog;
namespace fs = std::filesystem;

namespace {

config::Config make_config() {
  config::Config config;
  config.file = "/etc/app.yaml";
  config.groups.resize(2);
  config.groups[0].name = "shop";
  config.groups[1].name = "jobs";
  return config;
}

}  // namespace

TEST_CASE("a log that is new is empty, and gives the number 1") {
  const Folder folder;
  const ReleaseLog log(folder / "state/releases");
  CHECK(log.all().empty());
  CHECK(log.problems().empty());
  CHECK_FALSE(log.committed());
  CHECK(log.find(1) == nullptr);
  CHECK(log.next_number() == 1);
}

TEST_CASE("what was written and committed is there after a restart, whole") {
  const Folder folder;
  const auto check = [](const ReleaseLog& log) {
    CHECK(log.problems().empty());
    CHECK(numbers(log) == std::vector<std::uint64_t>{1, 2, 3});
    for (const std::uint64_t number : {1u, 2u})
      CHECK(same(*log.find(number), make_release(number)));
    CHECK(same(*log.find(3), make_release(3, "rolled back: it crashed")));
    CHECK(log.next_number() == 4);
    REQUIRE(log.committed());
    CHECK(same(log.committed()->release, make_release(2)));
    CHECK(log.committed()->asked_for == "fingerprint");
  };
  check(make_log(folder / "releases"));
  check(ReleaseLog(folder / "releases"));
}

TEST_CASE("a record that is written again is replaced, and a later commit takes the place") {
  const Folder folder;
  ReleaseLog log = make_log(folder / "releases");
  log.write(make_release(2, "reverted: nobody confirmed it"));
  log.commit(1, "other");
  const ReleaseLog again(folder / "releases");
  CHECK(numbers(again) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(again.find(2)->result == "reverted: nobody confirmed it");
  CHECK_FALSE(again.find(2)->good);
  CHECK(again.committed()->release.number == 1);
  CHECK(again.committed()->asked_for == "other");
}

TEST_CASE("records hold secrets: nobody else can read them") {
  const Folder folder;
  const mode_t old = ::umask(0);
  make_log(folder / "releases");
  ::umask(old);
  CHECK(mode_of(folder / "releases") == 0700);
  for (const auto& entry : fs::directory_iterator(folder / "releases"))
    CHECK(mode_of(entry.path()) == 0600);
  fs::permissions(folder / "releases", fs::perms::all);
  const ReleaseLog log(folder / "releases");
  CHECK(mode_of(folder / "releases") == 0700);
}

TEST_CASE("only so many records are kept, and the committed one with them, however old") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  ReleaseLog log(directory);
  Release release = make_release(1);
  release.groups.clear();
  const auto add = [&](std::uint64_t number) {
    release.number = number;
    log.write(release);
  };
  add(1);
  add(2);
  log.commit(2, "x");
  for (std::uint64_t number = 3; number <= ReleaseLog::kKeep + 5; ++number) add(number);
  const auto check = [&](const ReleaseLog& found) {
    CHECK(found.all().size() == ReleaseLog::kKeep + 1);
    CHECK(found.all().front().number == 2);
    CHECK(found.all()[1].number == 6);
    CHECK(found.committed()->release.number == 2);
    CHECK(found.next_number() == ReleaseLog::kKeep + 6);
  };
  check(log);
  check(ReleaseLog(directory));
  CHECK_FALSE(fs::exists(directory / "1.json"));
  CHECK_FALSE(fs::exists(directory / "5.json"));

  SECTION("one that was to go when the process was killed goes at the next start") {
    release.number = 5;
    const std::string text = read(directory / "6.json");
    write(directory / "5.json",
          std::string(text).replace(text.find("\"number\":6"), 10, "\"number\":5"));
    check(ReleaseLog(directory));
    CHECK_FALSE(fs::exists(directory / "5.json"));
  }
  SECTION("none goes at a start that does not know which one is committed") {
    write(directory / "current.json", "");
    CHECK(ReleaseLog(directory).all().size() == ReleaseLog::kKeep + 1);
    CHECK(fs::exists(directory / "2.json"));
  }
  SECTION("the one that was committed before goes with the next write") {
    log.commit(50, "y");
    add(ReleaseLog::kKeep + 6);
    CHECK(log.find(2) == nullptr);
    CHECK(log.all().size() == ReleaseLog::kKeep + 1);
    CHECK(ReleaseLog(directory).all().size() == ReleaseLog::kKeep + 1);
  }
}

TEST_CASE("what failed makes room first, but not what runs") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  ReleaseLog log(directory);
  const auto add = [&](std::uint64_t number, const std::string& result) {
    Release release;
    release.number = number;
    release.result = result;
    release.good = result == "committed";
    log.write(release);
  };
  for (std::uint64_t number = 1; number <= 10; ++number) add(number, "committed");
  log.commit(10, "x");
  add(11, std::string(supervisor::kWaitsForConfirm));
  add(12, std::string(supervisor::kRunning));
  for (std::uint64_t number = 13; number < 400; ++number) add(number, "rolled back: it failed");
  CHECK(log.all().size() == ReleaseLog::kKeep + 1);
  for (std::uint64_t number = 1; number <= 12; ++number) CHECK(log.find(number) != nullptr);
  CHECK(log.find(13) == nullptr);
  CHECK(log.find(399) != nullptr);
  CHECK(ReleaseLog(directory).all().size() == ReleaseLog::kKeep + 1);
}

TEST_CASE("a record can be taken away, but not the committed one, and its number is not reused") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  ReleaseLog log = make_log(directory);
  log.remove(3);
  CHECK(numbers(log) == std::vector<std::uint64_t>{1, 2});
  CHECK(log.next_number() == 4);
  CHECK_FALSE(fs::exists(directory / "3.json"));
  CHECK_THROWS(log.remove(2));
  CHECK_THROWS(log.remove(3));
  CHECK(numbers(log) == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("a log whose disk is full says so, and is as before on disk and in memory") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  ReleaseLog log = make_log(directory);
  const auto before = contents(directory);
  CHECK(in_child([&] {
    limit_file_size(16);
    const bool failed = fails_with(EFBIG, [&] { log.write(make_release(4)); }) &&
                        fails_with(EFBIG, [&] { log.write(make_release(1, "changed")); }) &&
                        fails_with(EFBIG, [&] { log.commit(1, "other"); });
    return failed && numbers(log) == std::vector<std::uint64_t>{1, 2, 3} &&
           log.next_number() == 4 && log.find(1)->result == "committed" &&
           log.committed()->release.number == 2 && log.committed()->asked_for == "fingerprint";
  }));
  CHECK(contents(directory) == before);
}

TEST_CASE("a folder without permission to write says so, and all is as before") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  CHECK(as_a_bound_user(folder, [&] {
    ReleaseLog log = make_log(directory);
    const auto before = contents(directory);
    fs::permissions(directory, fs::perms::owner_read | fs::perms::owner_exec);
    const bool failed = fails_with(EACCES, [&] { log.write(make_release(4)); }) &&
                        fails_with(EACCES, [&] { log.commit(1, "other"); });
    const ReleaseLog again(directory);
    const bool same = contents(directory) == before;
    fs::permissions(directory, fs::perms::owner_all);
    return failed && same && log.all().size() == 3 && log.committed()->release.number == 2 &&
           again.committed()->release.number == 2;
  }));
}

TEST_CASE("a record larger than what can be read again is never written") {
  const Folder folder;
  ReleaseLog log = make_log(folder / "releases");
  const auto before = contents(folder / "releases");
  Release release = make_release(4);
  release.result = std::string(17 << 20, 'x');
  CHECK_THROWS_AS(log.write(release), os::SystemError);
  CHECK(log.find(4) == nullptr);
  CHECK(contents(folder / "releases") == before);
}

TEST_CASE("only what has a record can be committed, and 0 is no number") {
  const Folder folder;
  ReleaseLog log = make_log(folder / "releases");
  CHECK_THROWS_AS(log.commit(7, "x"), std::invalid_argument);
  CHECK_THROWS_AS(log.write(make_release(0)), std::invalid_argument);
  CHECK(log.committed()->release.number == 2);
}

TEST_CASE(
    "a supervisor that is killed at any moment leaves a log whose committed release is whole") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  make_log(directory);
  std::mt19937 random(5);
  std::uint64_t last = 3;
  std::uint64_t last_committed = 2;
  for (int round = 0; round < 25; ++round) {
    std::optional<ReleaseLog> writer;
    const auto write_one = [&] {
      if (!writer) writer.emplace(directory);
      Release release = make_release(writer->next_number());
      release.who = std::string(100'000, 'w');
      writer->write(release);
      writer->commit(release.number, std::to_string(release.number));
    };
    repeat_and_kill(write_one, round % 2 == 0 ? Kill::at_any_moment : Kill::after_one,
                    static_cast<useconds_t>(random() % 20'000));
    const ReleaseLog log(directory);
    REQUIRE(log.problems().empty());
    REQUIRE(log.committed());
    const auto committed = *log.committed();
    Release expected = make_release(committed.release.number);
    if (committed.release.number > 3) {
      expected.who = std::string(100'000, 'w');
      REQUIRE(committed.asked_for == std::to_string(committed.release.number));
    }
    REQUIRE(same(committed.release, expected));
    REQUIRE(committed.release.number >= last_committed);
    REQUIRE(log.next_number() > last);
    last_committed = committed.release.number;
    last = log.next_number() - 1;
    REQUIRE(log.all().size() <= ReleaseLog::kKeep + 1);
  }
  CHECK(last_committed > 3);
}

TEST_CASE("the fingerprint is of the groups alone") {
  const config::Config config = make_config();
  config::Config other = make_config();
  other.file = "/elsewhere.yaml";
  other.daemon.plugins.keep = 9;
  CHECK(supervisor::fingerprint(other) == supervisor::fingerprint(config));
}

TEST_CASE("the fingerprint changes with each thing that a file can ask for") {
  const config::Config config = make_config();
  const std::string before = supervisor::fingerprint(config);
  CHECK(before.size() == 64);
  CHECK(before.find_first_not_of("0123456789abcdef") == std::string::npos);
  config::Config other = config;
  config::Group& group = other.groups[0];

  SECTION("name") { group.name = "shop2"; }
  SECTION("plugin") { group.plugin = "/a.so"; }
  SECTION("listen") { group.listen.resize(1); }
  SECTION("count") { group.count = 2; }
  SECTION("reloadable") { group.reloadable = false; }
  SECTION("settings") { group.settings = R"({"a":1})"; }
  SECTION("surge") { group.reload.surge = 2; }
  SECTION("probe") { group.reload.probe = "/healthz"; }
  SECTION("confirm_within") { group.reload.confirm_within = std::chrono::milliseconds(1); }
  SECTION("reserve_memory") { group.reload.reserve_memory.value = 1; }
  SECTION("canary") { group.reload.canary.slots = 1; }
  SECTION("on_inconclusive") {
    group.reload.canary.on_inconclusive = config::Inconclusive::roll_back;
  }
  SECTION("limits") { group.limits.max_connections = 1; }
  SECTION("recycle") { group.recycle.max_requests = 1; }
  SECTION("hang_timeout") { group.hang_timeout = std::chrono::milliseconds(1); }
  SECTION("user") { group.user = "www"; }
  SECTION("group") { group.group = "www"; }
  SECTION("nice") { group.nice = 0; }
  SECTION("cpu_affinity") { group.cpu_affinity = {0}; }
  SECTION("rlimits") { group.rlimits["nofile"] = {1024, std::nullopt}; }
  SECTION("environment") { group.environment["A"] = "b"; }
  SECTION("working_directory") { group.working_directory = "/srv"; }
  SECTION("the order") { std::swap(other.groups[0], other.groups[1]); }
  SECTION("a group less") { other.groups.pop_back(); }
  SECTION("a group more") { other.groups.emplace_back(); }
  CHECK(supervisor::fingerprint(other) != before);
}

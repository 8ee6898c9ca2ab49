#include "supervisor/release_log.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <random>

#include "record_files.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using supervisor::Release;
using supervisor::ReleaseLog;
namespace fs = std::filesystem;

namespace {

supervisor::GroupReleasePtr make_group(std::uint64_t number, const std::string& name) {
  auto group = std::make_shared<supervisor::GroupRelease>();
  group->number = number;
  group->config.name = name;
  group->config.plugin = "/srv/plugins/bytes \xff\xfe.so";
  group->config.count = 3;
  group->config.settings = R"({"colour":"green"})";
  group->file_count = 2;
  group->build = {std::string(64, 'a'),  "c0ffee",       "shop", "1.2.0", "0.1.0", "1.0",
                  "/store/shop \xff.so", 123'456'789'012};
  return group;
}

Release make_release(std::uint64_t number, const std::string& result = "committed") {
  Release release;
  release.number = number;
  release.origin = number / 2;
  release.when =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(1'795'000'000'123));
  release.who = "appserverctl (uid 0, pid 4711)";
  release.what = "shop aaaaaaa -> bbbbbbb";
  release.result = result;
  release.good = result == "committed";
  release.took = std::chrono::milliseconds(1234);
  release.groups = {make_group(number, "shop"), make_group(1, "jobs")};
  return release;
}

bool same(const supervisor::GroupRelease& one, const supervisor::GroupRelease& other) {
  const auto build = [](const plugin::Build& b) {
    return std::tie(b.sha256, b.build_id, b.name, b.version, b.sdk, b.abi, b.file, b.size);
  };
  return one.number == other.number && one.config == other.config &&
         one.file_count == other.file_count && build(one.build) == build(other.build);
}

bool same(const Release& one, const Release& other) {
  const auto plain = [](const Release& r) {
    return std::tie(r.number, r.origin, r.when, r.who, r.what, r.result, r.good, r.took);
  };
  return plain(one) == plain(other) &&
         std::equal(one.groups.begin(), one.groups.end(), other.groups.begin(), other.groups.end(),
                    [](const auto& a, const auto& b) { return same(*a, *b); });
}

std::vector<std::uint64_t> numbers(const ReleaseLog& log) {
  std::vector<std::uint64_t> found;
  for (const Release& release : log.all()) found.push_back(release.number);
  return found;
}

config::Config make_config() {
  config::Config config;
  config.file = "/etc/app.yaml";
  config.groups.resize(2);
  config.groups[0].name = "shop";
  config.groups[1].name = "jobs";
  return config;
}

// Three releases, the second of which is committed.
ReleaseLog make_log(const fs::path& directory) {
  ReleaseLog log(directory);
  log.write(make_release(1));
  log.write(make_release(2));
  log.commit(2, "fingerprint");
  log.write(make_release(3, "rolled back: it crashed"));
  return log;
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

TEST_CASE("a folder that is not ours to use is refused, with its name") {
  const Folder folder;
  SECTION("a file") {
    write(folder / "releases", "");
    CHECK_THROWS_WITH(ReleaseLog(folder / "releases"),
                      Contains("releases") && Contains("daemon.state_dir"));
  }
  SECTION("a link to a folder") {
    fs::create_directory(folder / "elsewhere");
    fs::create_symlink(folder / "elsewhere", folder / "releases");
    CHECK_THROWS_AS(ReleaseLog(folder / "releases"), os::SystemError);
  }
  SECTION("somebody else's") {
    if (::geteuid() != 0) return;
    fs::create_directory(folder / "releases");
    REQUIRE(::chown((folder / "releases").c_str(), 65534, 65534) == 0);
    CHECK_THROWS_WITH(ReleaseLog(folder / "releases"), Contains("must belong to the user"));
  }
}

TEST_CASE("a record that cannot be used is named and left alone, and the others are read") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  make_log(directory);
  const fs::path file = directory / "3.json";
  const std::string good = read(file);
  const auto replace = [&](const std::string& what, const std::string& by) {
    std::string text = good;
    const auto at = text.find(what);
    REQUIRE(at != std::string::npos);
    write(file, text.replace(at, what.size(), by));
  };
  std::string why;
  SECTION("cut short") {
    write(file, good.substr(0, good.size() / 2));
    why = "not a whole JSON document";
  }
  SECTION("empty") {
    write(file, "");
    why = "not a whole JSON document";
  }
  SECTION("more than a record") {
    write(file, good + "{}");
    why = "not a whole JSON document";
  }
  SECTION("another document") {
    write(file, "[1, 2]");
    why = "expected an object";
  }
  SECTION("of another version") {
    replace("\"version\":1", "\"version\":2");
    why = "of version 2, which this appserverd (version 1) does not know";
  }
  SECTION("without a key") {
    replace("\"when_ms\"", "\"whem_ms\"");
    why = "when_ms: missing";
  }
  SECTION("a time that no clock can hold") {
    replace("1795000000123", "9223372036854775807");
    why = "when_ms: too large";
  }
  SECTION("a value of another kind deep inside") {
    replace("\"sdk\":\"0.1.0\"", "\"sdk\":1");
    why = "groups[0].build.sdk: expected a string";
  }
  SECTION("a group that cannot be read") {
    replace("\"settings\"", "\"sittings\"");
    why = "cannot be used";
  }
  SECTION("the record of another number") {
    write(file, read(directory / "2.json"));
    why = "number: not that of the file's name";
  }
  SECTION("larger than any record") {
    write(file, good + std::string((16 << 20) + 1 - good.size(), ' '));
    why = "larger than 16777216 bytes";
  }
  SECTION("a folder") {
    fs::remove(file);
    fs::create_directory(file);
    why = "Is a directory";
  }
  SECTION("a FIFO") {
    fs::remove(file);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    why = "not a whole JSON document";
  }
  const auto before = contents(directory);
  const ReleaseLog log(directory);
  REQUIRE(log.problems().size() == 1);
  CHECK_THAT(log.problems().front(),
             Contains(file.native()) && Contains(why) &&
                 Contains("restore it from a backup, or move it elsewhere"));
  CHECK(numbers(log) == std::vector<std::uint64_t>{1, 2});
  CHECK(same(log.committed()->release, make_release(2)));
  CHECK(log.next_number() == 4);
  CHECK(contents(directory) == before);
  CHECK(fs::exists(file));
}

TEST_CASE("a committed record that is damaged is told, and its number is not given again") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  {
    ReleaseLog log = make_log(directory);
    log.write(make_release(4));
    log.commit(4, "x");
  }
  SECTION("damaged") { write(directory / "4.json", "{"); }
  SECTION("removed by hand") { fs::remove(directory / "4.json"); }
  const ReleaseLog log(directory);
  CHECK_FALSE(log.committed());
  CHECK_THAT(log.problems().back(), Contains("current.json") && Contains("release 4"));
  CHECK(log.next_number() == 5);
}

TEST_CASE("a damaged note of what is committed is told, and kept aside by the next commit") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  make_log(directory);
  std::string text;
  SECTION("cut short") { text = read(directory / "current.json").substr(0, 5); }
  SECTION("empty") {}
  SECTION("a number that is none") { text = R"({"version":1,"number":0,"asked_for":""})"; }
  SECTION("a number beyond all") {
    text = R"({"version":1,"number":18446744073709551615,"asked_for":""})";
  }
  SECTION("of a later version") { text = R"({"version":2,"number":1,"asked_for":""})"; }
  write(directory / "current.json", text);
  {
    ReleaseLog log(directory);
    CHECK_FALSE(log.committed());
    REQUIRE(log.problems().size() == 1);
    CHECK_THAT(log.problems().front(), Contains("current.json") && Contains("roll back"));
    CHECK(log.next_number() == 4);
    CHECK(read(directory / "current.json") == text);
    log.commit(1, "again");
  }
  const ReleaseLog log(directory);
  CHECK(log.problems().empty());
  CHECK(log.committed()->release.number == 1);
  CHECK(read(directory / "current.json.damaged") == text);
}

TEST_CASE("files that are no records are named, ignored and left alone") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  make_log(directory);
  for (const char* name : {"notes.txt", "03.json", "4.json.bak", "-4.json", "0.json", ".json",
                           "99999999999999999999.json", "1000000000000000.json"}) {
    write(directory / name, "x");
  }
  const auto before = contents(directory);
  const ReleaseLog log(directory);
  CHECK(log.problems().size() == 8);
  for (const auto& problem : log.problems()) CHECK_THAT(problem, Contains("not a record"));
  CHECK(log.next_number() == 4);
  CHECK(log.committed());
  CHECK(contents(directory) == before);
}

TEST_CASE("a folder full of rubbish does not flood the log") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  make_log(directory);
  for (int i = 0; i < 50; ++i) write(directory / std::to_string(100 + i).append(".json"), "x");
  const ReleaseLog log(directory);
  CHECK(log.problems().size() == 21);
  CHECK_THAT(log.problems().back(), Contains("more files like these"));
  CHECK(log.next_number() == 150);
  CHECK(log.committed());
}

TEST_CASE("what a killed write left is removed when the log opens") {
  const Folder folder;
  const fs::path directory = folder / "releases";
  make_log(directory);
  const auto before = contents(directory);
  write(directory / ".incoming-a1b2c3", "{\"numb");
  const ReleaseLog log(directory);
  CHECK(log.problems().empty());
  CHECK(contents(directory) == before);
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

// What the release log makes of a folder that it did not leave so itself.
#include <catch2/catch.hpp>

#include "record_files.hpp"
#include "sample_releases.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using supervisor::ReleaseLog;
namespace fs = std::filesystem;

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
  SECTION("a time that no calendar of ours has") {
    replace("1795000000123", "9223372036854");
    why = "when_ms: too large";
  }
  SECTION("a group without workers") {
    replace("\"count\":", "\"count\":0,\"x\":");
    why = "count:";
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

#include "supervisor/crash_log.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "record_files.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using control::CrashRecord;
using supervisor::CrashLog;
namespace fs = std::filesystem;

namespace {

CrashRecord make_crash(std::string reason = "SIGSEGV in on_request") {
  CrashRecord record;
  record.group = "shop";
  record.slot = 3;
  record.pid = 4711;
  record.reason = std::move(reason);
  record.stack = {"shop.so+0x12a0 shop::price(int)", "appserverd+0x10"};
  record.output = {"terminate called"};
  return record;
}

}  // namespace

TEST_CASE("a crash gets a number, and is there after a restart") {
  const Folder folder;
  {
    CrashLog log(folder / "state/crashes");
    CHECK(log.all().empty());
    CHECK(log.add(make_crash("one")) == 1);
    CHECK(log.add(make_crash("two")) == 2);
    CHECK(log.all().back().reason == "two");
  }
  CHECK(mode_of(folder / "state/crashes") == 0700);
  CHECK(mode_of(folder / "state/crashes/1.json") == 0600);
  CrashLog log(folder / "state/crashes");
  CHECK(log.problems().empty());
  REQUIRE(log.all().size() == 2);
  CrashRecord expected = make_crash("one");
  expected.number = 1;
  CHECK(log.all().front() == expected);
  CHECK(log.add(make_crash()) == 3);
}

TEST_CASE("the newest crashes are kept, on disk and in memory") {
  const Folder folder;
  CrashLog log(folder / "crashes");
  for (std::size_t i = 0; i < CrashLog::kKeep + 3; ++i) log.add(make_crash());
  const auto check = [&](const CrashLog& found) {
    CHECK(found.all().size() == CrashLog::kKeep);
    CHECK(found.all().front().number == 4);
    CHECK(contents(folder / "crashes").size() == CrashLog::kKeep);
  };
  check(log);
  check(CrashLog(folder / "crashes"));
}

TEST_CASE("crash records that cannot be read are named, left alone, and their numbers not reused") {
  const Folder folder;
  const fs::path directory = folder / "crashes";
  {
    CrashLog log(directory);
    for (int i = 0; i < 6; ++i) log.add(make_crash());
  }
  write(directory / "2.json", "");
  write(directory / "3.json", read(directory / "4.json"));
  write(directory / "5.json", R"({"version":7,"crash":{}})");
  write(directory / "6.json", std::string((4 << 20) + 1, ' '));
  write(directory / "core", "x");
  const auto before = contents(directory);
  CrashLog log(directory);
  CHECK(log.all().size() == 2);
  REQUIRE(log.problems().size() == 5);
  CHECK_THAT(log.problems()[0], Contains("6.json") && Contains("larger than 4194304 bytes"));
  CHECK_THAT(log.problems()[1], Contains("5.json") && Contains("version 7"));
  CHECK_THAT(log.problems()[2], Contains("3.json") && Contains("not that of the file's name"));
  CHECK_THAT(log.problems()[3], Contains("2.json") && Contains("remove it"));
  CHECK_THAT(log.problems()[4], Contains("core") && Contains("move it elsewhere"));
  CHECK(contents(directory) == before);
  CHECK(log.add(make_crash()) == 7);
}

TEST_CASE("a crash that cannot be written is kept in memory, bounded, and the disk is as before") {
  const Folder folder;
  const fs::path directory = folder / "crashes";
  CrashLog log(directory);
  log.add(make_crash());
  const auto before = contents(directory);
  CHECK(in_child([&] {
    limit_file_size(16);
    for (int i = 0; i < 50; ++i) {
      if (!fails_with(EFBIG, [&] { log.add(make_crash("unwritten")); })) return false;
    }
    return log.all().size() == 51 && log.all().back().number == 51 &&
           log.all().back().reason == "unwritten" && contents(directory) == before;
  }));
  CrashRecord large = make_crash();
  large.output = {std::string(5 << 20, 'x')};
  CHECK_THROWS_AS(log.add(large), os::SystemError);
  CHECK(log.all().back().output == large.output);
  CHECK(contents(directory) == before);
}

TEST_CASE("a log of crashes whose writer is killed at any moment reads well") {
  const Folder folder;
  const fs::path directory = folder / "crashes";
  std::mt19937 random(3);
  std::uint64_t last = 0;
  for (int round = 0; round < 15; ++round) {
    std::optional<CrashLog> writer;
    const auto add_one = [&] {
      if (!writer) writer.emplace(directory);
      writer->add(make_crash(std::string(50'000, 'x')));
    };
    repeat_and_kill(add_one, round % 2 == 0 ? Kill::at_any_moment : Kill::after_one,
                    static_cast<useconds_t>(random() % 15'000));
    const CrashLog log(directory);
    REQUIRE(log.problems().empty());
    for (const CrashRecord& record : log.all()) REQUIRE(record.reason.size() == 50'000);
    const std::uint64_t newest = log.all().empty() ? 0 : log.all().back().number;
    REQUIRE(newest >= last);
    last = newest;
  }
  CHECK(last > 0);
}

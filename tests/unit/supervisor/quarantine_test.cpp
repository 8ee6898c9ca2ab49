#include "supervisor/quarantine.hpp"

#include <catch2/catch.hpp>

#include "record_files.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using supervisor::Quarantine;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::system_clock::time_point kWhen{std::chrono::milliseconds(1'795'000'000'123)};

}  // namespace

TEST_CASE("a build that failed is quarantined until it is released, over restarts") {
  const Folder folder;
  const fs::path file = folder / "quarantine.json";
  {
    Quarantine quarantine(file);
    CHECK(quarantine.problem().empty());
    CHECK(quarantine.all().empty());
    quarantine.add({"aaa", "it crashed: \xff", kWhen});
    quarantine.add({"bbb", "no answer", kWhen});
  }
  CHECK(mode_of(file) == 0600);
  {
    Quarantine quarantine(file);
    REQUIRE(quarantine.find("aaa") != nullptr);
    CHECK(quarantine.find("aaa")->why == "it crashed: \xff");
    CHECK(quarantine.find("aaa")->when == kWhen);
    CHECK(quarantine.find("ccc") == nullptr);
    quarantine.release("aaa");
    quarantine.release("ccc");
    CHECK(quarantine.find("aaa") == nullptr);
  }
  const Quarantine quarantine(file);
  CHECK(quarantine.all().size() == 1);
  CHECK(quarantine.find("bbb") != nullptr);
}

TEST_CASE("a build that fails again becomes the newest, with its new reason") {
  const Folder folder;
  Quarantine quarantine(folder / "quarantine.json");
  quarantine.add({"aaa", "one", kWhen});
  quarantine.add({"bbb", "two", kWhen});
  quarantine.add({"aaa", "three", kWhen});
  REQUIRE(quarantine.all().size() == 2);
  CHECK(quarantine.all().back().sha256 == "aaa");
  CHECK(quarantine.all().back().why == "three");
}

TEST_CASE("the list is bounded: the oldest gives way, and a reason is cut") {
  const Folder folder;
  Quarantine quarantine(folder / "quarantine.json");
  for (std::size_t i = 0; i < Quarantine::kMost + 2; ++i)
    quarantine.add({std::to_string(i), "", kWhen});
  CHECK(quarantine.all().size() == Quarantine::kMost);
  CHECK(quarantine.find("1") == nullptr);
  CHECK(quarantine.find("2") != nullptr);
  quarantine.add({"long", std::string(4095, 'x') + "\u00e9 and on", kWhen});
  CHECK(quarantine.find("long")->why == std::string(4095, 'x'));
  CHECK(Quarantine(folder / "quarantine.json").all().size() == Quarantine::kMost);
}

TEST_CASE("a damaged list is named, counts as empty, and is kept aside by the next change") {
  const Folder folder;
  const fs::path file = folder / "quarantine.json";
  Quarantine(file).add({"aaa", "", kWhen});
  std::string text = read(file);
  SECTION("cut short") { text.resize(text.size() - 1); }
  SECTION("empty") { text.clear(); }
  SECTION("of another version") { text = R"({"version":3,"builds":[]})"; }
  SECTION("another document") { text = R"({"version":1,"builds":[{"sha256":5}]})"; }
  SECTION("too large") { text.append(std::string(4 << 20, ' ')); }
  write(file, text);
  Quarantine quarantine(file);
  CHECK(quarantine.all().empty());
  CHECK_THAT(quarantine.problem(), Contains(file.native()) && Contains("restore it from a backup"));
  CHECK(read(file) == text);
  quarantine.add({"bbb", "", kWhen});
  CHECK(read(folder / "quarantine.json.damaged") == text);
  const Quarantine again(file);
  CHECK(again.problem().empty());
  CHECK(again.find("bbb") != nullptr);
}

TEST_CASE("a quarantine that cannot be written says so, and nothing has changed") {
  const Folder folder;
  const fs::path file = folder / "quarantine.json";
  Quarantine quarantine(file);
  quarantine.add({"aaa", "", kWhen});
  const auto before = contents(folder.path());
  CHECK(in_child([&] {
    limit_file_size(16);
    return fails_with(EFBIG,
                      [&] {
                        quarantine.add({"bbb", "", kWhen});
                      }) &&
           fails_with(EFBIG, [&] { quarantine.release("aaa"); }) && quarantine.all().size() == 1 &&
           quarantine.find("aaa") != nullptr;
  }));
  CHECK(contents(folder.path()) == before);
  Quarantine nowhere(folder / "absent/quarantine.json");
  CHECK(nowhere.problem().empty());
  CHECK_THROWS_AS(nowhere.add({"bbb", "", kWhen}), os::SystemError);
  CHECK(nowhere.all().empty());
}

TEST_CASE("what a killed write left beside the list is removed") {
  const Folder folder;
  write(folder / ".incoming-a1b2c3", "{");
  const Quarantine quarantine(folder / "quarantine.json");
  CHECK(contents(folder.path()).empty());
}

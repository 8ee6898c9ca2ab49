#include "supervisor/archive.hpp"

#include <catch2/catch.hpp>

#include "site.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using supervisor::Archive;
using supervisor::Release;
namespace fs = std::filesystem;

namespace {

Release make(std::uint64_t number, std::uint64_t origin = 0, bool good = true) {
  Release release;
  release.number = number;
  release.origin = origin;
  release.good = good;
  return release;
}

// Its number; 0: none.
std::uint64_t before(const std::vector<Release>& releases, std::uint64_t number) {
  const Release* found = supervisor::release_before(releases, number);
  return found == nullptr ? 0 : found->number;
}

}  // namespace

TEST_CASE("the release before is the newest good one") {
  const std::vector<Release> releases = {make(1), make(2), make(3, 0, false), make(4)};
  CHECK(before(releases, 4) == 2);
  CHECK(before(releases, 2) == 1);
  CHECK(before(releases, 1) == 0);
  CHECK(before(releases, 5) == 0);
  CHECK(before({}, 1) == 0);
}

TEST_CASE("the release before one that went back is the one before its origin") {
  const std::vector<Release> releases = {make(1), make(2), make(3), make(4, 2), make(5, 1)};
  CHECK(before(releases, 4) == 1);
  CHECK(before(releases, 5) == 0);
}

TEST_CASE("the release before one that came after a rollback is what that went back to") {
  const std::vector<Release> releases = {make(1), make(2),    make(3),    make(4, 2),
                                         make(5), make(6, 2), make(7, 1), make(8)};
  CHECK(before(releases, 5) == 4);
  CHECK(before(releases, 6) == 1);
  CHECK(before(releases, 8) == 7);
}

TEST_CASE("a release that was reverted is never the one before") {
  const std::vector<Release> releases = {make(1),           make(2, 0, false), make(3, 1),
                                         make(4, 0, false), make(5, 1),        make(6)};
  CHECK(before(releases, 6) == 5);
  CHECK(before(releases, 5) == 0);
}

TEST_CASE("the release before is found where the record of the origin is gone") {
  const std::vector<Release> releases = {make(1), make(4, 2)};
  CHECK(before(releases, 4) == 1);
}

TEST_CASE("the history is shown newest first, with the committed release and what is available") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.put("api.so", kThree);
  site.roll(reload_changed(), false);
  const std::vector<std::string> names = {"api", "jobs"};
  const auto history = supervisor::summarize(supervisor::look_at(site.archive()));
  REQUIRE(history.size() == 3);
  CHECK(history[0].number == 3);
  CHECK(history[2].number == 1);
  CHECK(history[0].result == "rolled back: it failed");
  CHECK(history[1].what == "api " + short_sha(kOne) + " -> " + short_sha(kTwo));
  CHECK(history[2].who == "start");
  for (const auto& release : history) {
    INFO(release.number);
    CHECK(release.committed == (release.number == 2));
    CHECK(release.available);
    REQUIRE(release.builds.size() == 2);
    CHECK(release.builds[0].group == "api");
    CHECK(release.builds[1].group == "jobs");
    CHECK(release.builds[1].sha256 == sha_of(kOne));
  }
  CHECK(history[1].builds[0].sha256 == sha_of(kTwo));
  CHECK(history[1].builds[0].name == "unstable");
}

TEST_CASE("a release is available only with all of its builds") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll_build("jobs", kTwo);
  site.lose(kOne);
  const auto view = supervisor::look_at(site.archive());
  CHECK(view.available == std::set<std::uint64_t>{3});
  CHECK(view.committed == 3);
  CHECK(view.releases.size() == 3);
  const auto history = supervisor::summarize(view);
  CHECK(history[0].available);
  CHECK_FALSE(history[1].available);
  CHECK_FALSE(history[2].available);
}

TEST_CASE("an archive that is new is empty, and one that is opened again is as it was") {
  const Folder folder;
  {
    Archive archive(folder / "state");
    const auto view = supervisor::look_at(archive);
    CHECK(view.releases.empty());
    CHECK(view.committed == 0);
    CHECK(supervisor::summarize(view).empty());
    archive.quarantine.add({sha_of(kOne), "it crashed", {}});
    archive.releases.write(make(1));
    archive.releases.commit(1, "");
  }
  const auto view = supervisor::look_at(Archive(folder / "state"));
  CHECK(view.committed == 1);
  CHECK(view.available.contains(1));
  REQUIRE(view.quarantine.size() == 1);
  CHECK(view.quarantine.front().why == "it crashed");
}

// A state directory that cannot be written: what is committed runs, and nothing else is tried.
#include <sys/file.h>

#include <catch2/catch.hpp>

#include "site.hpp"
#include "supervisor/state_lock.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using supervisor::FirstRelease;
using supervisor::Release;
namespace fs = std::filesystem;

namespace {

// A start on a disk that is as the test says, from an archive that was just read.
FirstRelease start_unwritable(Site& site) {
  site.archive().unwritable = "Read-only file system";
  return site.start_with(config::load_file(site.file()));
}

}  // namespace

TEST_CASE("the committed release runs from a disk that cannot be written, which is said") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  const auto before = contents(site.folder() / "state/releases");
  const FirstRelease first = start_unwritable(site);
  CHECK(first.number == 2);
  REQUIRE(first.groups.size() == 2);
  CHECK(first.groups[0]->build.sha256 == sha_of(kTwo));
  CHECK(first.notes.empty());
  CHECK(first.problem == "the state directory " + (site.folder() / "state").native() +
                             " cannot be written: Read-only file system; release 2 runs; reloads "
                             "are refused until that is mended");
  CHECK(contents(site.folder() / "state/releases") == before);
}

TEST_CASE("what the file asks for waits until the disk can be written") {
  Site site;
  site.start();
  site.write_groups(
      {"  api: {plugin: api.so, settings: {colour: green}}\n", "  new: {plugin: x}\n"});
  const FirstRelease first = start_unwritable(site);
  CHECK(first.number == 1);
  REQUIRE(first.groups.size() == 2);
  CHECK(first.groups[0]->config.settings == "{}");
  REQUIRE(first.notes.size() == 3);
  CHECK_THAT(first.notes[0], StartsWith("api: release 1 runs, whose configuration is not that"));
  CHECK_THAT(first.notes[1], StartsWith("new: is in the file, but not in release 1"));
  CHECK_THAT(first.notes[2], StartsWith("jobs: is not in the file, but in release 1"));
}

TEST_CASE("a release that was never confirmed is not marked on a disk that cannot be written") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.roll_unconfirmed(reload_changed());
  const auto before = contents(site.folder() / "state/releases");
  CHECK(start_unwritable(site).number == 1);
  CHECK(contents(site.folder() / "state/releases") == before);
}

TEST_CASE("without a committed release, or one of its builds, such a start is refused") {
  Site site;
  SECTION("nothing is committed") {
    site.start();
    fs::remove_all(site.folder() / "state/releases");
    supervisor::Archive archive(site.folder() / "state");
    archive.unwritable = "Read-only file system";
    CHECK_THROWS_WITH(supervisor::choose_first_release(config::load_file(site.file()), archive),
                      StartsWith("the state directory ") && Contains("nothing is committed there"));
  }
  SECTION("a build is lost") {
    site.start();
    site.lose(kOne);
    CHECK_THROWS_WITH(start_unwritable(site),
                      StartsWith("groups.api: build " + short_sha(kOne)) &&
                          Contains("Read-only file system; mend that to start"));
  }
}

TEST_CASE("a disk that was full when the daemon started takes reloads once there is space") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.archive().unwritable = "No space left on device";
  // Looked at again, it is fine.
  const supervisor::Prepared prepared = site.prepare(reload_changed());
  CHECK(prepared.refusal.empty());
  CHECK(change_of(prepared, "api") == supervisor::Change::roll);
  CHECK(site.archive().unwritable.empty());
  CHECK(site.archive().releases.committed());
}

TEST_CASE("records on a disk that cannot be written are read, and nothing is touched") {
  Site site;
  site.start();
  const fs::path releases = site.folder() / "state/releases";
  write(releases / ".incoming-abc", "half");
  const auto before = contents(releases);
  using os::Access;
  CHECK(supervisor::ReleaseLog(releases, Access::read_only).committed());
  CHECK(contents(releases) == before);
  CHECK(supervisor::ReleaseLog(site.folder() / "none", Access::read_only).all().empty());
  CHECK(supervisor::CrashLog(site.folder() / "none", Access::read_only).all().empty());
  CHECK_FALSE(fs::exists(site.folder() / "none"));
  fs::permissions(releases, fs::perms::group_write, fs::perm_options::add);
  CHECK_THROWS_WITH(supervisor::ReleaseLog(releases, Access::read_only),
                    Contains("can be written to by others"));
}

TEST_CASE("whether a folder can be written is tried, and leaves nothing there") {
  const Folder folder;
  CHECK(os::why_not_writable(folder.path()).empty());
  CHECK(fs::is_empty(folder.path()));
  CHECK(os::why_not_writable(folder / "none") == "No such file or directory");
}

TEST_CASE("a state directory is locked once, and again when it is free") {
  const Folder folder;
  const fs::path state = folder / "a/state";
  {
    const os::Fd lock = supervisor::lock_state(state);
    CHECK(lock);
    CHECK(mode_of(state) == 0755);
    CHECK_THROWS_WITH(supervisor::lock_state(state), StartsWith("another appserverd uses"));
  }
  CHECK(supervisor::lock_state(state));
}

TEST_CASE("a plugin file that is larger than any is another build, and is not read to see it") {
  Site site({kApi});
  site.start();
  fs::resize_file(site.folder() / "api.so", std::uintmax_t{1} << 36);
  const auto begin = std::chrono::steady_clock::now();
  const FirstRelease first = site.start();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
  REQUIRE(first.notes.size() == 1);
  CHECK_THAT(first.notes.front(), Contains("is another build than the committed one"));
  const supervisor::Prepared prepared = site.prepare(reload());
  CHECK_THAT(prepared.refusal, StartsWith("groups.api.plugin: ") &&
                                   Contains("too large for a plugin: 68719476736 bytes"));
}

TEST_CASE("who started without the lock takes it before writing, or stays as it was") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  start_unwritable(site);
  const fs::path state = site.folder() / "state";
  const auto before = contents(state / "releases");
  {
    INFO("another daemon has come meanwhile");
    const os::Fd other = supervisor::lock_state(state);
    CHECK_THAT(site.prepare(reload_changed()).refusal,
               Contains("cannot be written: another appserverd uses the state directory"));
    CHECK_FALSE(site.prepare(reload_changed()).writable);
    CHECK_FALSE(site.archive().unwritable.empty());
    CHECK(contents(state / "releases") == before);
  }
  CHECK(site.prepare(reload_changed()).refusal.empty());
  CHECK_THROWS_WITH(supervisor::lock_state(state), StartsWith("another appserverd uses"));
}

TEST_CASE("who has the lock keeps it when the disk is mended") {
  const Folder folder;
  const fs::path state = folder / "state";
  supervisor::Archive archive(state, supervisor::lock_state(state));
  archive.unwritable = "No space left on device";
  CHECK(archive.mend());
  CHECK_THROWS_WITH(supervisor::lock_state(state), StartsWith("another appserverd uses"));
}

TEST_CASE("what a start could not write of unfinished releases is written once that is mended") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.roll_unconfirmed(reload_changed());
  Release cut_off = *site.archive().releases.find(1);
  cut_off.number = 3;
  site.archive().releases.write(cut_off);
  start_unwritable(site);
  CHECK(site.prepare(reload_changed()).refusal.empty());
  const supervisor::ReleaseLog& releases = site.archive().releases;
  CHECK(releases.find(2)->result == "reverted: the daemon ended before it was confirmed");
  CHECK(releases.find(3)->result == "reverted: the daemon ended before it was committed");
  CHECK_FALSE(releases.find(3)->good);
}

TEST_CASE("what runs is committed when the disk is mended, where it is not known what was") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  const fs::path pointer = site.folder() / "state/releases/current.json";
  SECTION("the pointer is gone") { fs::remove(pointer); }
  SECTION("the pointer is damaged") { write(pointer, "garbage"); }
  SECTION("the committed record is damaged") {
    site.roll_build("api", kThree);
    write(site.folder() / "state/releases/3.json", "garbage");
  }
  site.open();
  CHECK(start_unwritable(site).number == 2);
  CHECK_FALSE(site.archive().releases.committed());
  CHECK(site.prepare(rollback()).origin == 1);
  REQUIRE(site.archive().releases.committed());
  CHECK(site.archive().releases.committed()->release.number == 2);
}

TEST_CASE("what is written is known also where a reload is refused or has nothing to do") {
  Site site;
  site.start();
  start_unwritable(site);
  SECTION("refused") { CHECK_FALSE(site.prepare(reload({"nobody"})).refusal.empty()); }
  SECTION("nothing to do") { CHECK(site.prepare(reload_changed()).refusal.empty()); }
  CHECK(site.prepare(reload({"nobody"})).writable);
  CHECK(site.prepare(reload_changed()).writable);
}

TEST_CASE("a command line that asks for something else is refused where nothing can be written") {
  Site site;
  const config::Config file = config::load_file(site.file());
  config::Config named;
  named.daemon = file.daemon;
  named.groups = {file.groups.front()};
  site.start_with(named);
  site.archive().unwritable = "Read-only file system";
  SECTION("the same") {
    CHECK(site.start_with(named).number == 1);
    return;
  }
  SECTION("another address") { named.groups.front().listen.clear(); }
  SECTION("another group") { named.groups = {file.groups.back()}; }
  SECTION("another build") { site.put("api.so", kTwo); }
  CHECK_THROWS_WITH(site.start_with(named),
                    StartsWith("the state directory ") &&
                        Contains("release 1, which is committed there and could run, is not what "
                                 "the command line asks for: mend that, "));
}

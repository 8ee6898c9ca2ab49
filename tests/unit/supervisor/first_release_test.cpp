#include "supervisor/first_release.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "site.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using supervisor::FirstRelease;
using supervisor::Release;
namespace fs = std::filesystem;

namespace {

Release committed(Site& site) {
  const auto found = site.archive().releases.committed();
  REQUIRE(found);
  return found->release;
}

std::string only_note(const FirstRelease& first) {
  REQUIRE(first.notes.size() == 1);
  return first.notes.front();
}

}  // namespace

TEST_CASE("the first start records release 1, with the plugins as they are") {
  Site site;
  const FirstRelease first = site.start();
  CHECK(first.number == 1);
  CHECK(first.notes.empty());
  REQUIRE(first.groups.size() == 2);
  CHECK(first.groups[0]->config.name == "api");
  CHECK(first.groups[0]->file_count == 2);
  CHECK(first.groups[1]->number == 1);
  for (const auto& group : first.groups) {
    CHECK(group->build.sha256 == sha_of(kOne));
    CHECK(site.archive().store.holds(group->build));
  }
  const Release record = committed(site);
  CHECK(record.number == 1);
  CHECK(record.who == "start");
  CHECK(record.what == "first start");
  CHECK(record.result == "committed");
  CHECK(record.good);
  CHECK(record.groups.size() == 2);
  CHECK(site.archive().releases.committed()->asked_for == supervisor::fingerprint(site.running()));
}

TEST_CASE("a restart with the same file runs the committed release and records nothing") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  const auto records = contents(site.folder() / "state/releases");
  const FirstRelease first = site.start();
  CHECK(first.number == 2);
  CHECK(first.notes.empty());
  CHECK(site.running_sha("api") == sha_of(kTwo));
  CHECK(site.find("api")->number == 2);
  CHECK(site.find("jobs")->number == 1);
  CHECK(contents(site.folder() / "state/releases") == records);
}

TEST_CASE("a restart runs the committed builds, whatever lies in the plugin folder") {
  Site site({kApi});
  site.start();
  const fs::path plugin = site.folder() / "api.so";
  std::string said = "is another build than";
  SECTION("garbage") { write(plugin, "garbage"); }
  SECTION("another build") { site.put("api.so", kTwo); }
  SECTION("nothing") {
    fs::remove(plugin);
    said = "cannot be read, unlike";
  }
  SECTION("a folder") {
    fs::remove(plugin);
    fs::create_directory(plugin);
    said = "cannot be read, unlike";
  }
  SECTION("what has no end") {
    fs::remove(plugin);
    fs::create_symlink("/dev/zero", plugin);
    said = "cannot be read, unlike";
  }
  SECTION("what has no beginning") {
    fs::remove(plugin);
    REQUIRE(::mkfifo(plugin.c_str(), 0600) == 0);
    said = "cannot be read, unlike";
  }
  const FirstRelease first = site.start();
  CHECK(first.number == 1);
  CHECK(site.running_sha("api") == sha_of(kOne));
  CHECK(only_note(first) == "api: " + plugin.native() + " " + said + " the committed one (" +
                                short_sha(kOne) +
                                "), which runs; `appserverctl reload api` takes the file");
}

TEST_CASE("what takes the file into a group with reloadable: false is a restart of the group") {
  Site site({kPinned});
  site.start();
  site.put("jobs.so", kTwo);
  CHECK_THAT(only_note(site.start()), Contains("`appserverctl restart pinned` takes the file"));
}

TEST_CASE("a restart after a rollback stays there, and says how that differs from the file") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.write_groups({kApi, "  jobs: {plugin: jobs.so, settings: {colour: green}}\n"});
  site.roll(reload_changed());
  site.roll(rollback());
  const FirstRelease first = site.start();
  CHECK(first.number == 3);
  CHECK(site.running_sha("api") == sha_of(kOne));
  CHECK(site.find("jobs")->config.settings == "{}");
  REQUIRE(first.notes.size() == 2);
  CHECK(first.notes[0] ==
        "jobs: release 3 runs, whose configuration is not that of the file; `appserverctl reload "
        "jobs` takes the file");
  CHECK_THAT(first.notes[1], StartsWith("api: ") && Contains("is another build than"));
}

TEST_CASE("a restart after a rollout that was rolled back does not try it again") {
  Site site;
  site.start();
  site.put("new.so", kTwo);
  site.write_groups({kApi, "  new: {plugin: new.so, reloadable: false}\n"});
  site.roll(reload_changed(), false);
  const FirstRelease first = site.start();
  CHECK(first.number == 1);
  REQUIRE(site.find("jobs"));
  CHECK_FALSE(site.find("new"));
  REQUIRE(first.notes.size() == 2);
  CHECK_THAT(first.notes[0], StartsWith("new: is in the file, but not in release 1") &&
                                 Contains("`appserverctl reload new` starts it"));
  CHECK_THAT(first.notes[1], StartsWith("jobs: is not in the file, but in release 1") &&
                                 Contains("`appserverctl reload jobs` ends it"));
}

TEST_CASE("a restart with a changed file takes its groups, each with its committed build") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.put("api.so", kThree);
  site.put("other.so", kFour);
  site.write_groups({"  new: {plugin: other.so}\n",
                     "  api: {plugin: api.so, settings: {colour: green}}\n",
                     "  jobs: {plugin: other.so}\n"});
  const FirstRelease first = site.start();
  CHECK(first.number == 3);
  REQUIRE(first.groups.size() == 3);
  CHECK(first.groups[0]->config.name == "new");
  CHECK(site.running_sha("new") == sha_of(kFour));
  CHECK(site.running_sha("api") == sha_of(kTwo));
  CHECK(site.find("api")->config.settings == R"({"colour":"green"})");
  // Another path is another plugin.
  CHECK(site.running_sha("jobs") == sha_of(kFour));
  CHECK_THAT(only_note(first), StartsWith("api: ") && Contains("is another build than"));
  CHECK(committed(site).number == 3);
  CHECK(committed(site).what == "a changed configuration");
  CHECK(site.start().number == 3);
}

TEST_CASE("a count that scale has set survives a restart until the file says another") {
  Site site;
  site.start();
  site.roll(scale("api", 5));
  SECTION("with the same file") {
    const FirstRelease first = site.start();
    CHECK(first.number == 2);
    CHECK(first.notes.empty());
    CHECK(site.find("api")->config.count == 5);
  }
  SECTION("with a file that is changed elsewhere") {
    site.write_groups({kApi});
    site.start();
    CHECK(site.find("api")->config.count == 5);
    CHECK(site.find("api")->file_count == 2);
    CHECK(site.prepare(reload_changed()).kept().size() == 1);
  }
  SECTION("but not where the file has another count") {
    site.write_groups({"  api: {plugin: api.so, count: 3}\n"});
    site.start();
    CHECK(site.find("api")->config.count == 3);
  }
}

TEST_CASE("a build that the store has lost is taken from the file, and is pinned then") {
  Site site({kApi});
  site.start();
  site.lose(kOne);
  SECTION("with the same content: it is the same release") {
    const FirstRelease first = site.start();
    CHECK(first.number == 1);
    CHECK_THAT(only_note(first), StartsWith("api: build " + short_sha(kOne)) &&
                                     Contains("missing from the store or damaged") &&
                                     Contains("api.so is taken instead"));
    CHECK(site.archive().store.holds(site.find("api")->build));
  }
  SECTION("with another content: it is a new release") {
    site.put("api.so", kTwo);
    const FirstRelease first = site.start();
    CHECK(first.number == 2);
    CHECK(site.find("api")->number == 2);
    CHECK(site.running_sha("api") == sha_of(kTwo));
    CHECK(committed(site).groups.front()->build.sha256 == sha_of(kTwo));
    site.put("api.so", kThree);
    CHECK(site.start().number == 2);
    CHECK(site.running_sha("api") == sha_of(kTwo));
  }
  SECTION("with a changed file, too") {
    site.write_groups({kApi, kJobs});
    CHECK_THAT(only_note(site.start()), StartsWith("api: build "));
  }
}

TEST_CASE("a stored build that was damaged is not run") {
  Site site({kApi});
  site.start();
  const fs::path stored = site.find("api")->build.file;
  fs::permissions(stored, fs::perms::owner_write, fs::perm_options::add);
  const std::string content = read(stored);
  write(stored, std::string(content.size(), '\0'));
  CHECK_THAT(only_note(site.start()), Contains("missing from the store or damaged"));
  CHECK(read(stored) == content);
}

TEST_CASE("a group with no plugin at all is an error by its name, with the way out") {
  Site site;
  SECTION("at the first start") {
    fs::remove(site.folder() / "jobs.so");
    CHECK_THROWS_WITH(site.start(), StartsWith("groups.jobs.plugin: ") && Contains("jobs.so"));
    CHECK_FALSE(site.archive().releases.committed());
  }
  SECTION("where the store has lost it, too") {
    site.start();
    site.lose(kOne);
    write(site.folder() / "api.so", "garbage");
    CHECK_THROWS_WITH(site.start(), StartsWith("groups.api.plugin: ") && Contains("api.so") &&
                                        Contains(short_sha(kOne)) &&
                                        Contains("put the plugin back"));
  }
}

TEST_CASE("an identity that workers could not take is an error by its key") {
  Site site({"  api: {plugin: api.so, user: no-such-user-here}\n"});
  CHECK_THROWS_WITH(site.start(), StartsWith("groups.api.user: "));
}

TEST_CASE("where it is not known what was committed, the builds of the newest good release run") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.put("api.so", kThree);
  site.roll(reload_changed(), false);
  write(site.folder() / "state/releases/current.json", "garbage");
  const FirstRelease first = site.start();
  CHECK(site.running_sha("api") == sha_of(kTwo));
  CHECK(site.running_sha("jobs") == sha_of(kOne));
  CHECK(first.number == 4);
  CHECK(committed(site).number == 4);
}

TEST_CASE("where the committed record is damaged, the builds of the newest good release run") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll_build("api", kThree);
  write(site.folder() / "state/releases/3.json", "garbage");
  site.start();
  CHECK(site.running_sha("api") == sha_of(kTwo));
  CHECK(committed(site).number == 4);
}

TEST_CASE("a daemon without a file takes what its command line names, each time it starts") {
  Site site;
  const auto config = config::load_file(site.file());
  config::Config named;
  named.daemon = config.daemon;
  named.groups = {config.groups.front()};
  CHECK(site.start_with(named).number == 1);
  site.put("api.so", kTwo);
  const FirstRelease first = site.start_with(named);
  CHECK(first.number == 2);
  CHECK(first.notes.empty());
  CHECK(site.running_sha("api") == sha_of(kTwo));
  CHECK(committed(site).what == "a start without a configuration file");
}

TEST_CASE("a restart takes a release back that nobody has confirmed, and says so in the history") {
  Site site;
  site.start();
  Release waiting = committed(site);
  waiting.number = 2;
  waiting.result = supervisor::kWaitsForConfirm;
  waiting.good = false;
  site.archive().releases.write(waiting);
  CHECK(site.start().number == 1);
  const Release* record = site.archive().releases.find(2);
  CHECK(record->result == "reverted: the daemon ended before it was confirmed");
  CHECK_FALSE(record->good);
}

TEST_CASE("a release that was written but not committed never ran, and is no way back") {
  Site site;
  site.start();
  Release cut_off = committed(site);
  cut_off.number = 2;
  site.archive().releases.write(cut_off);
  CHECK(site.start().number == 1);
  CHECK(site.archive().releases.find(2)->result ==
        "reverted: the daemon ended before it was committed");
  site.roll_build("api", kTwo);
  CHECK(site.prepare(rollback()).origin == 1);
}

TEST_CASE("other releases keep their results over a restart") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.roll(reload_changed(), false);
  site.start();
  CHECK(site.archive().releases.find(1)->result == "committed");
  CHECK(site.archive().releases.find(2)->result == "rolled back: it failed");
}

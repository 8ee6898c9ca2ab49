#include "supervisor/rollout_files.hpp"

#include <catch2/catch.hpp>

#include "site.hpp"

using namespace appserver::supervisor;
using namespace appserver::supervisor::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

Release release(std::uint64_t number, const std::string& result, bool good = false) {
  Release made;
  made.number = number;
  made.result = result;
  made.good = good;
  return made;
}

// With release 1 committed, and release 2 being rolled out.
struct Fixture {
  Fixture() {
    archive.releases.write(release(1, "committed", true));
    archive.releases.commit(1, "first");
    enter_release(archive, release(2, std::string(kRunning)));
  }
  std::uint64_t committed() const { return archive.releases.committed()->release.number; }
  std::string asked_for() const { return archive.releases.committed()->asked_for; }
  std::string result(std::uint64_t number) const { return archive.releases.find(number)->result; }
  void commit(bool unconfirmed = false) {
    commit_release(archive, {release(2, "committed", true), unconfirmed, "second", {}, {}},
                   given_up, before);
  }
  void fail() {
    record_failure(archive, release(2, "rolled back: it failed"), "second", {{"bad1234", "it", {}}},
                   before);
  }

  // From now on this file of the archive cannot be replaced.
  void block(const std::string& file) const {
    std::filesystem::remove(folder / ("state/" + file));
    std::filesystem::create_directory(folder / ("state/" + file));
  }

  Folder folder;
  Archive archive{folder / "state"};
  std::atomic<bool> given_up{false};
  std::uint64_t before = 0;
};

}  // namespace

TEST_CASE("a rollout that begins stands in the history, and what is committed stays") {
  const Fixture site;
  CHECK(site.result(2) == "running");
  CHECK(site.committed() == 1);
  CHECK(site.archive.releases.next_number() == 3);
}

TEST_CASE("a rollout whose end could not be written does not run for ever") {
  Fixture site;
  enter_release(site.archive, release(3, std::string(kRunning)));
  CHECK(site.result(2) == "not committed: its end could not be recorded");
  CHECK(site.result(3) == "running");
}

TEST_CASE("what was rolled out is committed; unconfirmed, a restart goes back still") {
  Fixture site;
  const bool unconfirmed = GENERATE(true, false);
  site.commit(unconfirmed);
  CHECK(site.committed() == (unconfirmed ? 1 : 2));
  CHECK(site.asked_for() == "second");
  CHECK(site.before == 1);
}

TEST_CASE("what was given up before its turn came is not committed") {
  Fixture site;
  site.given_up = true;
  site.commit();
  CHECK(site.committed() == 1);
  CHECK(site.asked_for() == "first");
  CHECK(site.result(2) == "running");
}

TEST_CASE("a commit that came through too late is undone by the record of the failure") {
  Fixture site;
  site.commit();
  REQUIRE(site.committed() == 2);
  site.fail();
  CHECK(site.committed() == 1);
  CHECK(site.asked_for() == "second");
  CHECK(site.result(2) == "rolled back: it failed");
  INFO("and for the next start, too");
  const ReleaseLog log(site.folder / "state/releases");
  CHECK(log.committed()->release.number == 1);
}

TEST_CASE("a failure leaves committed what is, also what was confirmed while the rollout ran") {
  Fixture site;
  site.archive.releases.write(release(3, "committed", true));
  site.archive.releases.commit(3, "first");
  site.before = 1;
  site.fail();
  CHECK(site.committed() == 3);
}

TEST_CASE("only the record of a release that runs is settled") {
  Fixture site;
  settle_running(site.archive, 7, "reverted: it was cut off", 5ms);
  settle_running(site.archive, 1, "reverted: it was cut off", 5ms);
  settle_running(site.archive, 2, "reverted: it was cut off", 5ms);
  CHECK(site.result(1) == "committed");
  CHECK(site.result(2) == "reverted: it was cut off");
  CHECK(site.archive.releases.find(2)->took == 5ms);
  CHECK(site.archive.releases.all().size() == 2);
}

TEST_CASE("what of a failure cannot be written keeps nothing else of it from being written") {
  Fixture site;
  site.commit();
  SECTION("the quarantine") {
    site.block("quarantine.json");
    CHECK_THROWS_WITH(site.fail(), StartsWith("build bad1234 is not in quarantine"));
    CHECK(site.committed() == 1);
    CHECK(site.result(2) == "rolled back: it failed");
    CHECK(site.archive.quarantine.all().empty());
  }
  SECTION("which release is committed") {
    site.block("releases/current.json");
    CHECK_THROWS_WITH(site.fail(), StartsWith("a restart runs release 2 all the same"));
    CHECK(site.result(2) == "rolled back: it failed");
    CHECK(site.archive.quarantine.find("bad1234") != nullptr);
  }
  SECTION("the record") {
    site.block("releases/2.json");
    CHECK_THROWS_WITH(site.fail(), StartsWith("the history does not tell how it ended"));
    CHECK(site.committed() == 1);
    CHECK(site.archive.quarantine.find("bad1234") != nullptr);
  }
  SECTION("two of them") {
    site.block("quarantine.json");
    site.block("releases/2.json");
    CHECK_THROWS_WITH(site.fail(), Contains("is not in quarantine") && Contains("; the history"));
    CHECK(site.committed() == 1);
  }
}

TEST_CASE("what was entered and touched nothing leaves no line, and nothing else goes with it") {
  Fixture site;
  withdraw_release(site.archive, 2);
  withdraw_release(site.archive, 1);
  withdraw_release(site.archive, 7);
  CHECK(site.archive.releases.find(2) == nullptr);
  CHECK(site.committed() == 1);
  CHECK(site.archive.releases.next_number() == 3);
  CHECK(ReleaseLog(site.folder / "state/releases").all().size() == 1);
}

TEST_CASE("a release that ended is not withdrawn") {
  Fixture site;
  site.fail();
  withdraw_release(site.archive, 2);
  CHECK(site.result(2) == "rolled back: it failed");
}

TEST_CASE("only builds that came through every gate leave the quarantine") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.put("jobs.so", kTwo);
  site.roll(reload_changed());
  site.roll(rollback({}, {"api"}));
  const Quarantine& held = site.archive().quarantine;
  REQUIRE(held.find(sha_of(kTwo)) != nullptr);
  INFO("a group that runs it is resized, and one that runs it is kept");
  site.roll(scale("jobs", 3));
  site.roll(scale("api", 3));
  CHECK(held.find(sha_of(kTwo)) != nullptr);
  CHECK(change_of(site.prepare(watched()), "api") == Change::keep);
  INFO("somebody insists");
  site.roll(reload({"api"}));
  CHECK(held.find(sha_of(kTwo)) == nullptr);
}

TEST_CASE("a group that was rolled back to nothing is not brought in again by the watcher") {
  Site site({kApi});
  site.write_watching(kApi);
  site.start();
  site.drop("extra", kTwo, "listen: http://127.0.0.1:18090\n");
  site.roll(watched());
  REQUIRE(site.find("extra"));
  SECTION("with all") { site.roll(rollback()); }
  SECTION("alone") { site.roll(rollback(1, {"extra"})); }
  REQUIRE_FALSE(site.find("extra"));
  const Prepared looked = site.prepare(watched());
  CHECK(plan_of(looked, "extra").why_kept == WhyKept::quarantined);
  CHECK(change_of(site.prepare(reload_changed()), "extra") == Change::add);
}

TEST_CASE("nothing is left behind by what is no rollback, or goes back to what ran") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.write_groups({kApi});
  site.roll(reload_changed());
  CHECK(site.archive().quarantine.all().empty());
  site.roll(rollback(2));
  INFO("only jobs came back");
  CHECK(site.archive().quarantine.all().empty());
}

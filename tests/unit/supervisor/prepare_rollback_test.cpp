#include <catch2/catch.hpp>

#include "site.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using supervisor::Change;
using supervisor::Prepared;

TEST_CASE("a rollback goes to the release before, from the store, and touches nothing else") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  const std::string asked_for = site.archive().releases.committed()->asked_for;
  site.put("api.so", "no_note");
  site.write_file("not: a configuration");
  const Prepared prepared = site.prepare(rollback());
  CHECK(prepared.refusal.empty());
  CHECK(prepared.release == 3);
  CHECK(prepared.origin == 1);
  CHECK(prepared.asked_for == asked_for);
  const auto plan = plan_of(prepared, "api");
  CHECK(plan.change == Change::roll);
  CHECK(plan.target->number == 3);
  CHECK(plan.target->build.sha256 == sha_of(kOne));
  CHECK(plan_of(prepared, "jobs").note == "unchanged");
  CHECK(prepared.what == "back to 1: api " + short_sha(kTwo) + " -> " + short_sha(kOne));
}

TEST_CASE("a rollback takes the configuration back, too") {
  Site site;
  site.start();
  site.write_groups({"  api: {plugin: api.so, count: 3, settings: {colour: green}}\n",
                     "  jobs: {plugin: jobs.so, count: 4}\n"});
  site.roll(reload_changed());
  const Prepared prepared = site.prepare(rollback());
  CHECK(change_of(prepared, "api") == Change::roll);
  CHECK(plan_of(prepared, "api").target->config.settings == "{}");
  CHECK(plan_of(prepared, "api").target->config.count == 2);
  CHECK(change_of(prepared, "jobs") == Change::resize);
  CHECK(prepared.what ==
        "back to 1: api " + short_sha(kOne) + " and its configuration, jobs x4 -> x1");
}

TEST_CASE("one rollback after the other goes further back, and says when there is no more") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll_build("api", kThree);
  site.roll(rollback());
  CHECK(site.running_sha("api") == sha_of(kTwo));
  CHECK(site.roll(rollback()) == 5);
  CHECK(site.running_sha("api") == sha_of(kOne));
  CHECK(site.archive().releases.find(5)->origin == 1);
  CHECK_THAT(site.prepare(rollback()).refusal, StartsWith("there is no earlier release"));
}

TEST_CASE("a rollback of what came after a rollback does not go to what that went away from") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll(rollback());
  site.roll_build("api", kThree);
  const Prepared prepared = site.prepare(rollback());
  CHECK(plan_of(prepared, "api").target->build.sha256 == sha_of(kOne));
  CHECK(prepared.origin == 1);
}

TEST_CASE("a rollback passes over releases that came to nothing") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.put("api.so", kThree);
  site.roll(reload_changed(), false);
  site.roll_build("api", kFour);
  CHECK(site.prepare(rollback()).origin == 2);
  CHECK(plan_of(site.prepare(rollback(3)), "api").target->build.sha256 == sha_of(kThree));
}

TEST_CASE("a rollback to a number goes there, also forward, and to a rollback as to its origin") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll_build("api", kThree);
  site.roll(rollback(1));
  const Prepared forward = site.prepare(rollback(3));
  CHECK(forward.origin == 3);
  CHECK(plan_of(forward, "api").target->build.sha256 == sha_of(kThree));
  site.roll(rollback(3));
  const Prepared again = site.prepare(rollback(4));
  CHECK(again.origin == 1);
  CHECK_THAT(again.what, StartsWith("back to 1: "));
  CHECK(plan_of(again, "api").target->build.sha256 == sha_of(kOne));
}

TEST_CASE("a rollback to a release that nobody knows is refused") {
  Site site;
  site.start();
  CHECK_THAT(site.prepare(rollback(17)).refusal,
             StartsWith("there is no record of release 17") && Contains("appserverctl history"));
  for (const auto& request : {rollback({}, {"apu"}), rollback(1, {"apu"})})
    CHECK_THAT(site.prepare(request).refusal, StartsWith("there is no group 'apu'"));
  CHECK_THAT(site.prepare(rollback()).refusal, StartsWith("there is no earlier release"));
}

TEST_CASE("a rollback to a build that is no longer in the store is refused") {
  Site site;
  site.start();
  site.put("jobs.so", kThree);
  site.roll_build("api", kTwo);
  site.lose(kOne);
  const std::string refusal = site.prepare(rollback()).refusal;
  const std::string lost = "build " + short_sha(kOne) + " of release 1 is no longer in the store";
  CHECK_THAT(refusal, StartsWith("groups.api.plugin: " + lost) &&
                          Contains("\ngroups.jobs.plugin: " + lost) &&
                          Contains("daemon.plugins.keep"));
}

TEST_CASE("a rollback brings groups back that are gone, and ends those that came later") {
  Site site;
  site.start();
  site.write_groups({kApi, "  new: {plugin: api.so}\n"});
  site.roll(reload_changed());
  const Prepared prepared = site.prepare(rollback());
  CHECK(change_of(prepared, "api") == Change::keep);
  CHECK(change_of(prepared, "jobs") == Change::add);
  CHECK(change_of(prepared, "new") == Change::remove);
  CHECK(prepared.what == "back to 1: +jobs " + short_sha(kOne) + ", -new");
}

TEST_CASE("a rollback of one group leaves all others as they run") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.put("jobs.so", kTwo);
  site.write_groups({kApi, kJobs, "  new: {plugin: api.so}\n"});
  site.roll(reload_changed());
  const Prepared prepared = site.prepare(rollback({}, {"api"}));
  CHECK(plan_of(prepared, "api").target->build.sha256 == sha_of(kOne));
  CHECK(plan_of(prepared, "jobs").note == "not asked for");
  CHECK(plan_of(prepared, "new").note == "not asked for");
  CHECK(prepared.what == "back to 1: api " + short_sha(kTwo) + " -> " + short_sha(kOne));

  SECTION("and is a release of its own: the next rollback undoes it") {
    CHECK(prepared.origin == 0);
    site.roll(rollback({}, {"api"}));
    CHECK(site.running_sha("jobs") == sha_of(kTwo));
    const Prepared next = site.prepare(rollback());
    CHECK(next.origin == 2);
    CHECK(plan_of(next, "api").target->build.sha256 == sha_of(kTwo));
    CHECK(change_of(next, "jobs") == Change::keep);
  }
  SECTION("also where that release did not have the group: then it ends") {
    CHECK(change_of(site.prepare(rollback(1, {"new"})), "new") == Change::remove);
    CHECK_THAT(site.prepare(rollback({}, {"new"})).refusal,
               Contains("no earlier release in which new ran otherwise"));
  }
}

TEST_CASE("a rollback of one group passes over releases that changed only others") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll_build("jobs", kTwo);
  site.roll(scale("jobs", 3));
  const Prepared prepared = site.prepare(rollback({}, {"api"}));
  CHECK(plan_of(prepared, "api").target->build.sha256 == sha_of(kOne));
  CHECK(change_of(prepared, "jobs") == Change::keep);
}

TEST_CASE("a rollback passes over releases that changed nothing") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.roll(reload());
  site.roll(reload());
  CHECK(site.prepare(rollback()).origin == 1);
}

TEST_CASE("a rollback of what is not committed goes to what is") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.put("api.so", kThree);
  site.roll_unconfirmed(reload_changed());
  CHECK(site.prepare(rollback()).origin == 2);
  CHECK(plan_of(site.prepare(rollback({}, {"api"})), "api").target->build.sha256 == sha_of(kTwo));
  site.roll(rollback());
  CHECK(site.prepare(rollback()).origin == 1);
}

TEST_CASE("a rollback of one group brings it back where it is gone") {
  Site site;
  site.start();
  site.write_groups({kApi});
  site.roll(reload_changed());
  const Prepared prepared = site.prepare(rollback({}, {"jobs"}));
  CHECK(change_of(prepared, "jobs") == Change::add);
  CHECK(change_of(prepared, "api") == Change::keep);
}

TEST_CASE("a rollback leaves groups with reloadable: false alone unless they are named") {
  Site site({kApi, kUntilPinned});
  site.start();
  site.put("jobs.so", kTwo);
  site.write_groups({kApi, kPinned, "  late: {plugin: api.so, reloadable: false}\n"});
  site.roll_build("api", kTwo);
  const Prepared prepared = site.prepare(rollback());
  CHECK(change_of(prepared, "api") == Change::roll);
  CHECK(plan_of(prepared, "pinned").change == Change::keep);
  CHECK(plan_of(prepared, "pinned").note == "reloadable: false");
  CHECK(plan_of(prepared, "late").change == Change::keep);
  CHECK_THAT(plan_of(prepared, "late").note, Contains("release 1 did not have it") &&
                                                 Contains("appserverctl rollback --to 1 late"));

  const Prepared named = site.prepare(rollback({}, {"pinned"}));
  CHECK(plan_of(named, "pinned").target->build.sha256 == sha_of(kOne));
  CHECK(change_of(site.prepare(rollback(1, {"late"})), "late") == Change::remove);

  SECTION("or the daemon takes back what it brought") {
    auto request = rollback(1);
    request.reverts = "pinned crash-loops";
    const Prepared reverted = site.prepare(request);
    CHECK(change_of(reverted, "pinned") == Change::roll);
    CHECK(change_of(reverted, "late") == Change::remove);
  }
}

TEST_CASE("a rollback to a build that failed before goes on, and says so") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  site.archive().quarantine.add({sha_of(kOne), "it crashed", {}});
  const auto plan = plan_of(site.prepare(rollback()), "api");
  CHECK(plan.change == Change::roll);
  CHECK(plan.note ==
        "build " + short_sha(kOne) + " is tried though it was quarantined: it crashed");
}

TEST_CASE("a rollback undoes what scale did") {
  Site site;
  site.start();
  site.roll(scale("api", 5));
  const Prepared prepared = site.prepare(rollback());
  CHECK(change_of(prepared, "api") == Change::resize);
  CHECK(plan_of(prepared, "api").target->config.count == 2);
}

#include "supervisor/prepare.hpp"

#include <catch2/catch.hpp>

#include "site.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using Catch::Matchers::Equals;
using Catch::Matchers::StartsWith;
using supervisor::Change;
using supervisor::Prepared;
using supervisor::WhyKept;
namespace fs = std::filesystem;

namespace {

constexpr const char* kNew = "  new: {plugin: api.so}\n";

std::vector<std::string> names(const Prepared& prepared) {
  std::vector<std::string> result;
  for (const auto& plan : prepared.plan) result.push_back(plan.name);
  return result;
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1;
}

}  // namespace

TEST_CASE("a reload of an unchanged file replaces every worker, with a stored build") {
  Site site;
  site.start();
  const Prepared prepared = site.prepare(reload());
  CHECK(prepared.refusal.empty());
  CHECK(prepared.release == 2);
  CHECK(prepared.origin == 0);
  CHECK(prepared.kept().empty());
  CHECK(names(prepared) == std::vector<std::string>{"api", "jobs"});
  for (const auto& plan : prepared.plan) {
    INFO(plan.name);
    CHECK(plan.change == Change::roll);
    CHECK(plan.note.empty());
    REQUIRE(plan.target);
    CHECK(plan.target->number == 2);
    CHECK(plan.target->config == site.find(plan.name)->config);
    CHECK(plan.target->build.name == "answers");
    CHECK(site.archive().store.holds(plan.target->build));
    CHECK(plan.target->build.file != plan.target->config.plugin);
  }
  CHECK(prepared.what == "api " + short_sha(kOne) + ", jobs " + short_sha(kOne));
}

TEST_CASE("what is prepared is not recorded") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.write_groups({kApi, kNew});
  const auto before = contents(site.folder() / "state/releases");
  for (const auto& request : {reload(), rollback(1), scale("api", 5)}) {
    CHECK(site.prepare(request).refusal.empty());
    CHECK(contents(site.folder() / "state/releases") == before);
    CHECK(site.archive().releases.next_number() == 2);
  }
}

TEST_CASE(
    "a reload with `changed` replaces only workers whose build or configuration has changed") {
  Site site;
  site.start();
  SECTION("nothing") {
    const Prepared prepared = site.prepare(reload_changed());
    CHECK(prepared.kept().size() == 2);
    CHECK(plan_of(prepared, "api").note == "unchanged");
    CHECK(plan_of(prepared, "api").why_kept == WhyKept::unchanged);
    CHECK_FALSE(plan_of(prepared, "api").notable);
    CHECK(prepared.what.empty());
  }
  SECTION("a build") {
    site.put("api.so", kTwo);
    const Prepared prepared = site.prepare(reload_changed());
    CHECK(change_of(prepared, "api") == Change::roll);
    CHECK(plan_of(prepared, "api").target->build.sha256 == sha_of(kTwo));
    CHECK(change_of(prepared, "jobs") == Change::keep);
    CHECK(prepared.what == "api " + short_sha(kOne) + " -> " + short_sha(kTwo));
  }
  SECTION("the same build at another path") {
    site.put("other.so", kOne);
    site.write_groups({kApi, "  jobs: {plugin: other.so}\n"});
    const Prepared prepared = site.prepare(reload_changed());
    CHECK(change_of(prepared, "jobs") == Change::resize);
    CHECK(prepared.what == "the configuration of jobs");
  }
  SECTION("a setting") {
    site.write_groups({kApi, "  jobs: {plugin: jobs.so, settings: {colour: green}}\n"});
    const Prepared prepared = site.prepare(reload_changed());
    CHECK(change_of(prepared, "api") == Change::keep);
    CHECK(change_of(prepared, "jobs") == Change::roll);
    CHECK(plan_of(prepared, "jobs").target->config.settings == R"({"colour":"green"})");
    CHECK(prepared.what == "jobs " + short_sha(kOne) + " and its configuration");
  }
  SECTION("an address") {
    site.write_groups({kApi, "  jobs: {plugin: jobs.so, listen: 'http://127.0.0.1:18081'}\n"});
    CHECK(change_of(site.prepare(reload_changed()), "jobs") == Change::roll);
  }
  SECTION("the number of workers") {
    site.write_groups({kApi, "  jobs: {plugin: jobs.so, count: 3}\n"});
    const Prepared prepared = site.prepare(reload_changed());
    CHECK(change_of(prepared, "jobs") == Change::resize);
    CHECK(plan_of(prepared, "jobs").target->config.count == 3);
    CHECK(prepared.what == "jobs x1 -> x3");
  }
  SECTION("what only the supervisor goes by") {
    site.write_groups({kApi,
                       "  jobs: {plugin: jobs.so, hang_timeout: 5s, recycle: {max_requests: 9}, "
                       "reload: {surge: 4}}\n"});
    const Prepared prepared = site.prepare(reload_changed());
    CHECK(change_of(prepared, "jobs") == Change::resize);
    CHECK(plan_of(prepared, "jobs").target->config.reload.surge == 4);
    CHECK(prepared.what == "the configuration of jobs");
  }
  SECTION("the number of workers, and what only the supervisor goes by") {
    site.write_groups({kApi, "  jobs: {plugin: jobs.so, count: 2, hang_timeout: 5s}\n"});
    CHECK(site.prepare(reload_changed()).what == "jobs x1 -> x2 and its configuration");
  }
}

TEST_CASE("workers are replaced for a drain timeout of their own, not for their group's gates") {
  config::Group running;
  config::Group wanted = running;
  wanted.reload.start_timeout += std::chrono::seconds(1);
  wanted.reload.canary.slots = 1;
  wanted.reloadable = false;
  wanted.gateway.may_push = {"root"};
  CHECK_FALSE(supervisor::needs_new_workers(running, wanted));
  wanted.reload.drain_timeout += std::chrono::seconds(1);
  CHECK(supervisor::needs_new_workers(running, wanted));
}

TEST_CASE("groups come and go with the file, in its order and those that go last") {
  Site site;
  site.start();
  site.write_groups({kNew, kJobs});
  const Prepared prepared = site.prepare(reload_changed());
  CHECK(prepared.refusal.empty());
  CHECK(names(prepared) == std::vector<std::string>{"new", "jobs", "api"});
  CHECK(change_of(prepared, "new") == Change::add);
  CHECK(plan_of(prepared, "new").target->number == 2);
  CHECK(change_of(prepared, "jobs") == Change::keep);
  CHECK(change_of(prepared, "api") == Change::remove);
  CHECK_FALSE(plan_of(prepared, "api").target);
  CHECK(prepared.what == "+new " + short_sha(kOne) + ", -api");
}

TEST_CASE("a reload of named groups leaves all others alone") {
  Site site;
  site.start();
  SECTION("that changed") {
    site.put("api.so", kTwo);
    site.put("jobs.so", kTwo);
    const Prepared prepared = site.prepare(reload({"jobs"}));
    CHECK(change_of(prepared, "jobs") == Change::roll);
    CHECK(change_of(prepared, "api") == Change::keep);
    CHECK(plan_of(prepared, "api").note == "not asked for");
    CHECK(plan_of(prepared, "api").why_kept == WhyKept::not_asked_for);
  }
  SECTION("that cannot be read") {
    fs::remove(site.folder() / "api.so");
    CHECK(site.prepare(reload({"jobs"})).refusal.empty());
  }
  SECTION("that are gone from the file") {
    site.write_groups({kJobs});
    const Prepared prepared = site.prepare(reload({"jobs"}));
    CHECK(change_of(prepared, "api") == Change::keep);
    CHECK_THAT(plan_of(prepared, "api").note, Contains("gone from the file"));
    CHECK(change_of(site.prepare(reload({"api"})), "api") == Change::remove);
  }
  SECTION("that are new in the file") {
    site.write_groups({kApi, kJobs, kNew});
    CHECK(names(site.prepare(reload({"jobs"}))) == std::vector<std::string>{"api", "jobs"});
    const Prepared prepared = site.prepare(reload({"new"}));
    CHECK(change_of(prepared, "new") == Change::add);
    CHECK(prepared.kept().size() == 2);
  }
  SECTION("but a name that nobody knows is refused") {
    const Prepared prepared = site.prepare(reload({"jobs", "apu", "jbos"}));
    CHECK(prepared.refusal ==
          "there is no group 'apu'; the groups are: api, jobs\n"
          "there is no group 'jbos'; the groups are: api, jobs");
    CHECK(prepared.plan.empty());
  }
}

TEST_CASE("a group with reloadable: false is kept, with the reason") {
  Site site({kApi, kPinned});
  site.start();
  SECTION("by a reload of all") {
    site.put("jobs.so", kTwo);
    const Prepared prepared = site.prepare(reload());
    CHECK(change_of(prepared, "pinned") == Change::keep);
    CHECK(plan_of(prepared, "pinned").note == "reloadable: false");
    CHECK(plan_of(prepared, "pinned").why_kept == WhyKept::not_reloadable);
    CHECK_FALSE(plan_of(prepared, "pinned").notable);
    CHECK(change_of(prepared, "api") == Change::roll);
  }
  SECTION("by one that names it or forces all, but not both") {
    CHECK(change_of(site.prepare(reload({"pinned"})), "pinned") == Change::keep);
    auto request = reload();
    request.force = true;
    CHECK(change_of(site.prepare(request), "pinned") == Change::keep);
    request.groups = {"api"};
    CHECK(change_of(site.prepare(request), "pinned") == Change::keep);
  }
  SECTION("also where its plugin cannot be read") {
    fs::remove(site.folder() / "jobs.so");
    CHECK(site.prepare(reload()).refusal.empty());
  }
  SECTION("and where its configuration has changed, with what applies it") {
    site.write_groups({kApi, "  pinned: {plugin: jobs.so, reloadable: false, count: 4}\n"});
    auto plan = plan_of(site.prepare(reload()), "pinned");
    CHECK(plan.change == Change::keep);
    CHECK(plan.notable);
    CHECK_THAT(plan.note, StartsWith("reloadable: false; its configuration has changed") &&
                              Contains("appserverctl restart pinned"));
    site.write_groups({kApi, kUntilPinned});
    CHECK(plan_of(site.prepare(reload()), "pinned").notable);
  }
  SECTION("and where it is gone from the file, with what ends it") {
    site.write_groups({kApi});
    const auto plan = plan_of(site.prepare(reload()), "pinned");
    CHECK(plan.change == Change::keep);
    CHECK(plan.notable);
    CHECK_THAT(plan.note,
               Contains("gone from the file") && Contains("appserverctl reload --force pinned"));
    CHECK(change_of(site.prepare(reload({"pinned"})), "pinned") == Change::keep);
    CHECK(change_of(site.prepare(forced("pinned")), "pinned") == Change::remove);
  }
  SECTION("but replaced where it is forced by name") {
    site.put("jobs.so", kTwo);
    const Prepared prepared = site.prepare(forced("pinned"));
    CHECK(change_of(prepared, "pinned") == Change::roll);
    CHECK(plan_of(prepared, "pinned").target->build.sha256 == sha_of(kTwo));
    CHECK(change_of(prepared, "api") == Change::keep);
  }
  SECTION("and scaled as any other") {
    CHECK(change_of(site.prepare(scale("pinned", 3)), "pinned") == Change::resize);
  }
  SECTION("and added as any other") {
    site.write_groups({kApi, kPinned, "  second: {plugin: jobs.so, reloadable: false}\n"});
    CHECK(change_of(site.prepare(reload()), "second") == Change::add);
  }
}

TEST_CASE("a group is scaled without touching its build, its configuration or the others") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.write_groups({kApi});
  const Prepared prepared = site.prepare(scale("api", 5));
  CHECK(prepared.refusal.empty());
  const auto plan = plan_of(prepared, "api");
  CHECK(plan.change == Change::resize);
  CHECK(plan.target->config.count == 5);
  CHECK(plan.target->file_count == 2);
  CHECK(plan.target->build.sha256 == sha_of(kOne));
  CHECK(change_of(prepared, "jobs") == Change::keep);
  CHECK(prepared.what == "api x2 -> x5");
  CHECK(prepared.asked_for == site.archive().releases.committed()->asked_for);
  CHECK(site.prepare(scale("api", 2)).kept().size() == 2);
  CHECK_THAT(site.prepare(scale("apu", 2)).refusal, StartsWith("there is no group 'apu'"));
}

TEST_CASE("a group whose build is lost cannot be scaled, and that is said with the way out") {
  Site site;
  site.start();
  site.lose(kOne);
  CHECK_THAT(site.prepare(scale("api", 5)).refusal,
             StartsWith("groups.api.plugin: build " + short_sha(kOne)) &&
                 Contains("appserverctl reload api") && !Contains("release 0"));
}

TEST_CASE("a count that scale has set stays until the file says another") {
  Site site;
  site.start();
  site.roll(scale("api", 5));
  CHECK(site.prepare(reload_changed()).kept().size() == 2);
  site.roll_build("api", kTwo);
  CHECK(site.find("api")->config.count == 5);
  site.write_groups(
      {"  api: {plugin: api.so, listen: 'http://127.0.0.1:18080', count: 3}\n", kJobs});
  const Prepared prepared = site.prepare(reload_changed());
  CHECK(change_of(prepared, "api") == Change::resize);
  CHECK(plan_of(prepared, "api").target->config.count == 3);
  CHECK(plan_of(prepared, "api").target->file_count == 3);
}

TEST_CASE("the watcher leaves a build alone that failed before, and says so") {
  Site site;
  site.start();
  site.archive().quarantine.add({sha_of(kTwo), "it crashed", {}});
  SECTION("in a group that runs another one") {
    site.put("api.so", kTwo);
    const Prepared prepared = site.prepare(watched());
    const auto plan = plan_of(prepared, "api");
    CHECK(plan.change == Change::keep);
    CHECK_THAT(plan.note, StartsWith("build " + short_sha(kTwo) + " is quarantined (it crashed)") &&
                              Contains("appserverctl reload api"));
    CHECK(plan.notable);
    CHECK(plan.why_kept == WhyKept::quarantined);
    CHECK(prepared.kept().size() == 2);
  }
  SECTION("in a group that would be new") {
    site.put("new.so", kTwo);
    site.write_groups({kApi, kJobs, "  new: {plugin: new.so}\n"});
    const auto plan = plan_of(site.prepare(watched()), "new");
    CHECK(plan.change == Change::keep);
    CHECK_FALSE(plan.target);
    CHECK_THAT(plan.note, Contains("quarantined (it crashed)"));
    CHECK(plan.why_kept == WhyKept::quarantined);
  }
  SECTION("but rolls the other groups") {
    site.put("api.so", kTwo);
    site.put("jobs.so", kThree);
    const Prepared prepared = site.prepare(watched());
    CHECK(change_of(prepared, "api") == Change::keep);
    CHECK(change_of(prepared, "jobs") == Change::roll);
  }
  SECTION("until there is another content") {
    site.put("api.so", kThree);
    CHECK(change_of(site.prepare(watched()), "api") == Change::roll);
  }
}

TEST_CASE("a person may try a build again that failed before, and is told so") {
  Site site;
  site.start();
  site.archive().quarantine.add({sha_of(kTwo), "it crashed", {}});
  site.put("api.so", kTwo);
  const auto plan = plan_of(site.prepare(reload_changed()), "api");
  CHECK(plan.change == Change::roll);
  CHECK(plan.note ==
        "build " + short_sha(kTwo) + " is tried though it was quarantined: it crashed");
}

TEST_CASE("it is no matter that the build that runs failed before") {
  Site site;
  site.start();
  site.archive().quarantine.add({sha_of(kOne), "it crashed", {}});
  site.write_groups({"  api: {plugin: api.so, settings: {colour: green}}\n", kJobs});
  const Prepared prepared = site.prepare(watched());
  CHECK(change_of(prepared, "api") == Change::roll);
  CHECK(plan_of(prepared, "api").note.empty());
  CHECK(plan_of(prepared, "jobs").note == "unchanged");
}

TEST_CASE("what was asked for is the whole file, also where a part of it is taken") {
  Site site;
  site.start();
  site.write_groups({kApi, kJobs, kNew});
  const std::string whole = supervisor::fingerprint(config::load_file(site.file()));
  CHECK(site.prepare(reload()).asked_for == whole);
  CHECK(site.prepare(reload({"api"})).asked_for == whole);
  CHECK(site.archive().releases.committed()->asked_for != whole);
}

TEST_CASE("without a file the running configuration is taken, with the plugins as they are now") {
  Site site;
  site.start();
  site.running().file.clear();
  fs::remove(site.file());
  site.put("api.so", kTwo);
  const Prepared prepared = site.prepare(reload());
  CHECK(prepared.refusal.empty());
  CHECK(change_of(prepared, "jobs") == Change::roll);
  CHECK(plan_of(prepared, "api").target->build.sha256 == sha_of(kTwo));
}

TEST_CASE("a file that is bad or gone is a refusal with file and line") {
  Site site;
  site.start();
  SECTION("bad") {
    site.write_file("groups:\n  api:\n    plugin: api.so\n    cuont: 2\n");
    CHECK_THAT(site.prepare(reload()).refusal, Contains("app.yaml:4:5") && Contains("cuont"));
  }
  SECTION("gone") {
    fs::remove(site.file());
    CHECK_THAT(site.prepare(reload()).refusal, Contains("app.yaml"));
  }
  CHECK(site.prepare(reload()).plan.empty());
}

TEST_CASE("what a running daemon cannot take over is refused, each by its name") {
  Site site;
  site.start();
  const std::string groups = std::string("groups:\n") + kApi + kJobs;
  std::vector<std::string> keys;
  SECTION("the log") {
    site.write_file("daemon: {log: {level: debug}}\n" + groups);
    keys = {"log"};
  }
  SECTION("the plugin folder") {
    site.write_file("daemon: {plugins: {keep: 9}}\n" + groups);
    keys = {"plugins"};
  }
  SECTION("all at once") {
    site.write_file(
        "daemon: {log: {format: json}, state_dir: other, control: {socket: other.sock}}\n" +
        groups);
    keys = {"control.socket", "state_dir", "log"};
  }
  const Prepared prepared = site.prepare(reload());
  for (const auto& key : keys) {
    CHECK_THAT(prepared.refusal,
               Contains("daemon." + key + " has changed; that needs a restart of appserverd"));
  }
  CHECK(lines(prepared.refusal) == keys.size());
  CHECK(prepared.plan.empty());
}

TEST_CASE("plugins that cannot be taken in are refused by their groups' names, all at once") {
  Site site;
  site.start();
  site.put("api.so", "no_note");
  fs::remove(site.folder() / "jobs.so");
  const std::string refusal = site.prepare(reload()).refusal;
  CHECK_THAT(refusal, StartsWith("groups.api.plugin: ") && Contains("api.so: ") &&
                          Contains("\ngroups.jobs.plugin: ") && Contains("jobs.so"));
  CHECK(lines(refusal) == 2);
}

TEST_CASE("an identity that workers could not take is refused by its key, beside all else") {
  Site site;
  site.start();
  site.write_groups({"  api: {plugin: api.so, user: no-such-user-here}\n",
                     "  jobs: {plugin: jobs.so, user: nor-this-one}\n",
                     "  new: {plugin: absent.so}\n"});
  const std::string refusal = site.prepare(reload()).refusal;
  CHECK_THAT(refusal, StartsWith("groups.api.user: ") && Contains("no-such-user-here") &&
                          Contains("\ngroups.jobs.user: ") && Contains("\ngroups.new.plugin: "));
  CHECK(lines(refusal) == 3);
}

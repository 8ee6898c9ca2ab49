// What a restart knows of the releases that were to prove themselves, or were cut off.
#include <catch2/catch.hpp>

#include "site.hpp"
#include "supervisor/release_log.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using namespace std::chrono_literals;
using supervisor::FirstRelease;
using supervisor::Release;
using supervisor::Trial;

namespace {

const std::chrono::system_clock::time_point kUntil{1'795'000'000'123ms};

// Release 2, committed, of which `api` is to prove itself.
void roll_on_probation(Site& site) {
  site.start();
  const auto number = site.roll_build("api", kTwo);
  Release release = *site.archive().releases.find(number);
  release.trials = {{"api", kUntil, number, 1}};
  site.archive().releases.write(release);
}

Release committed(Site& site) { return site.archive().releases.committed()->release; }

void write_running(Site& site, std::uint64_t number) {
  Release running = committed(site);
  running.number = number;
  running.result = supervisor::kRunning;
  running.good = false;
  site.archive().releases.write(running);
}

// Release 3 takes release 2 back to release 1, and is committed.
void go_back(Site& site, const std::string& who) {
  Release back = *site.archive().releases.find(1);
  back.number = 3;
  back.origin = 1;
  back.who = who;
  const std::string asked_for = site.archive().releases.committed()->asked_for;
  site.archive().releases.write(back);
  site.archive().releases.commit(3, asked_for);
}

}  // namespace

TEST_CASE("a record tells what must still prove itself") {
  const Folder folder;
  Release release;
  release.number = 7;
  release.trials = {{"shop", kUntil, 7, 6}, {"mail", kUntil + 1min, 0, 4}};
  supervisor::ReleaseLog(folder / "releases").write(release);
  const supervisor::ReleaseLog log(folder / "releases");
  REQUIRE(log.find(7) != nullptr);
  const std::vector<Trial>& trials = log.find(7)->trials;
  REQUIRE(trials.size() == 2);
  CHECK(trials[0].group == "shop");
  CHECK(trials[0].until == kUntil);
  CHECK(trials[0].release == 7);
  CHECK(trials[0].before == 6);
  CHECK(trials[1].release == 0);
  CHECK(trials[1].until == kUntil + 1min);
}

TEST_CASE("a record of before there were trials has none, and is read") {
  const Folder folder;
  Release release;
  release.number = 7;
  supervisor::ReleaseLog(folder / "releases").write(release);
  const auto file = folder / "releases/7.json";
  std::string text = read(file);
  const std::string trials = R"(,"trials":[])";
  const auto place = text.find(trials);
  REQUIRE(place != std::string::npos);
  write(file, text.erase(place, trials.size()));
  const supervisor::ReleaseLog log(folder / "releases");
  CHECK(log.problems().empty());
  REQUIRE(log.find(7) != nullptr);
  CHECK(log.find(7)->trials.empty());
}

TEST_CASE("a restart on the committed release takes up what must still prove itself") {
  Site site;
  roll_on_probation(site);
  const FirstRelease first = site.start();
  REQUIRE(first.trials.size() == 1);
  CHECK(first.trials.front().group == "api");
  CHECK(first.trials.front().release == 2);
  CHECK(first.trials.front().before == 1);
}

TEST_CASE("a build that stays over a changed file must prove itself still, its group alone") {
  Site site;
  roll_on_probation(site);
  site.write_groups(
      {"  api: {plugin: api.so, listen: 'http://127.0.0.1:18080', count: 3}\n", kJobs});
  const FirstRelease first = site.start();
  CHECK(first.number == 3);
  REQUIRE(first.trials.size() == 1);
  CHECK(first.trials.front().release == 0);
  CHECK(first.trials.front().before == 1);
  CHECK(first.trials.front().until == kUntil);
  INFO("and over the next restart, too");
  CHECK(site.start().trials.size() == 1);
}

TEST_CASE("a build that was lost has nothing to prove any more") {
  Site site;
  roll_on_probation(site);
  site.lose(kTwo);
  site.put("api.so", kThree);
  const FirstRelease first = site.start();
  CHECK(first.number == 3);
  CHECK(first.trials.empty());
}

TEST_CASE("a rollout that was cut off is in the history of the next start, and never a way back") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  write_running(site, 3);
  CHECK(site.start().number == 2);
  const Release* record = site.archive().releases.find(3);
  REQUIRE(record != nullptr);
  CHECK(record->result == "reverted: the daemon ended in the midst of it");
  CHECK_FALSE(record->good);
  CHECK(site.archive().releases.next_number() == 4);
  CHECK(site.prepare(rollback()).origin == 1);
}

TEST_CASE("a rollout that runs takes its number, and is no way back") {
  Site site;
  site.start();
  site.roll_build("api", kTwo);
  write_running(site, 3);
  CHECK(site.prepare(reload()).release == 4);
  CHECK(site.prepare(rollback()).origin == 1);
  const auto view = supervisor::look_at(site.archive());
  CHECK(supervisor::release_before(view.releases, 3)->number == 2);
  CHECK(supervisor::summarize(view).front().result == "running");
  CHECK_FALSE(supervisor::summarize(view).front().committed);
}

TEST_CASE("a way back that was committed counts against what it took back, also after a kill") {
  Site site;
  const bool crashed = GENERATE(false, true);
  INFO("it crash-looped in its window, and did not miss its confirm: " << crashed);
  site.start();
  Release failed = [&] {
    if (!crashed) {
      site.put("api.so", kTwo);
      site.roll_unconfirmed(reload_changed());
      return *site.archive().releases.find(2);
    }
    site.roll_build("api", kTwo);
    Release release = *site.archive().releases.find(2);
    release.trials = {{"api", kUntil, 2, 1}};
    return release;
  }();
  site.archive().releases.write(failed);
  go_back(site, "the daemon itself (api crash-loops)");
  CHECK(site.start().number == 3);
  const Release& settled = *site.archive().releases.find(2);
  CHECK(settled.result == "reverted: release 3 went back to release 1");
  CHECK_FALSE(settled.good);
  CHECK(settled.trials.empty());
  CHECK(site.archive().quarantine.find(sha_of(kTwo)) != nullptr);
  CHECK(site.archive().quarantine.find(sha_of(kOne)) == nullptr);
}

TEST_CASE("a person who goes back says nothing against a release that was confirmed") {
  Site site;
  roll_on_probation(site);
  go_back(site, "appserverctl (uid 0, pid 1)");
  site.start();
  CHECK(site.archive().releases.find(2)->good);
  CHECK(site.archive().releases.find(2)->result == "committed");
}

TEST_CASE("a release that waited for its confirm when another one followed is committed") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.roll_unconfirmed(reload_changed());
  site.roll_build("api", kThree);
  CHECK(site.start().number == 3);
  CHECK(site.archive().releases.find(2)->result == "committed: another release followed");
  CHECK(site.archive().releases.find(2)->good);
}

TEST_CASE("an end that cannot be recorded is said apart from what is about groups") {
  Site site;
  site.start();
  site.put("api.so", kTwo);
  site.roll_unconfirmed(reload_changed());
  const auto record = site.folder() / "state/releases/2.json";
  site.open();
  std::filesystem::remove(record);
  std::filesystem::create_directories(record / "in the way");
  const FirstRelease first =
      supervisor::choose_first_release(config::load_file(site.file()), site.archive());
  CHECK(first.number == 1);
  CHECK_THAT(first.not_recorded,
             Catch::Matchers::StartsWith("release 2 is reverted: the daemon ended before it was "
                                         "confirmed; that cannot be recorded: "));
  for (const std::string& note : first.notes) CHECK(note.starts_with("api: "));
}

// What a reload is going to do, and what it does about memory that is short.
#include <catch2/catch.hpp>
#include <map>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

std::string group(const std::string& name, const std::string& rest) {
  return "  " + name + ": {plugin: " + (name == "other" ? "other" : "probe") +
         ", listen: 'http://127.0.0.1:0', " + rest + "}\n";
}

std::map<std::string, std::string> plan_of(const Finished& finished) {
  std::map<std::string, std::string> plan;
  for (const auto& event : events_of(finished.out, "plan")) plan[event.group] = event.text;
  return plan;
}

void require_says(const std::string& text, const std::string& part) {
  INFO(text << "\nexpected: " << part);
  REQUIRE(text.find(part) != std::string::npos);
}

// Everything of a daemon that a dry run must not change.
struct Untouched {
  explicit Untouched(const Daemon& daemon) : status(daemon.status()), history(daemon.history()) {}
  void require_still(const Daemon& daemon) const {
    const Status now = daemon.status();
    REQUIRE(now.release == status.release);
    REQUIRE(now.groups.size() == status.groups.size());
    for (std::size_t i = 0; i < now.groups.size(); ++i) {
      REQUIRE(now.groups[i].pids() == status.groups[i].pids());
      REQUIRE(now.groups[i].listen.size() == status.groups[i].listen.size());
    }
    REQUIRE(daemon.history().size() == history.size());
  }
  Status status;
  std::vector<Release> history;
};

}  // namespace

TEST_CASE("reload --dry-run prints what happens to each group, and touches nothing") {
  Site site(probe_group(1));
  site.install(probe_v1(), "other");
  site.configure("groups:\n" + group("rolls", "count: 2") + group("other", "count: 1") +
                 group("grows", "count: 1") + group("kept", "count: 1, reloadable: false") +
                 group("ends", "count: 1"));
  Daemon daemon(site);
  const Untouched before(daemon);
  site.install(probe_v2(), "other");
  site.configure("groups:\n" + group("rolls", "count: 2, settings: {a: 1}") +
                 group("other", "count: 1") + group("grows", "count: 3") +
                 group("kept", "count: 1, reloadable: false, settings: {a: 1}") +
                 group("starts", "count: 4"));
  const auto finished = daemon.ctl({"reload", "--dry-run", "--changed", "--json"});
  require_exit(finished, kDone, "nothing was touched");
  const auto plan = plan_of(finished);
  REQUIRE(plan.size() == 6);
  require_says(plan.at("rolls"), "rolls: 2 workers, the same build");
  require_says(plan.at("rolls"), "its configuration has changed");
  require_says(plan.at("rolls"), "surge 1 needs");
  require_says(plan.at("rolls"), "free");
  require_says(plan.at("other"), " -> probe v2");
  require_says(plan.at("grows"), "1 -> 3 workers");
  require_says(plan.at("kept"), "kept: reloadable: false");
  require_says(plan.at("kept"), "appserverctl restart kept");
  require_says(plan.at("starts"), "starts: 4 workers");
  require_says(plan.at("ends"), "ends: 1 workers");
  before.require_still(daemon);
  for (const auto& status : before.status.groups) {
    REQUIRE(get(status.listen.front(), "/").body == "v1\n");
  }
  // It then happens as it was said.
  require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  REQUIRE(daemon.status().group("starts").ready == 4);
  REQUIRE(daemon.pids("kept") == before.status.group("kept").pids());
}

TEST_CASE("reload --dry-run is refused where the reload would be, and touches nothing") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const Untouched before(daemon);
  SECTION("a mistake in the file") {
    site.configure(probe_group(2, "    cuont: 3\n"));
    require_exit(daemon.ctl({"reload", "--dry-run"}), kRefused, "cuont");
  }
  SECTION("a file that is no plugin") {
    write_file(site.plugin(), "no plugin");
    require_exit(daemon.ctl({"reload", "--dry-run"}), kRefused, "groups.api.plugin");
  }
  SECTION("a plugin that does not load") {
    site.install(fixture("undefined_symbol"));
    require_exit(daemon.ctl({"reload", "--dry-run"}), kRefused, "undefined symbol");
  }
  SECTION("a group that does not exist") {
    require_exit(daemon.ctl({"reload", "--dry-run", "nosuch"}), kRefused, "nosuch");
  }
  SECTION("an address that somebody holds") {
    Site holder_site(probe_group(1));
    Daemon holder(holder_site);
    const Endpoint taken = holder.address();
    site.configure(probe_group(2) + "  more: {plugin: probe, listen: '" + taken.text() + "'}\n");
    require_exit(daemon.ctl({"reload", "--dry-run"}), kRefused, taken.authority());
  }
  before.require_still(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("where memory is short each worker stops before its successor starts, unnoticed") {
  Site site(probe_group(2, "    reload: {reserve_memory: 1024GiB, surge: 2}\n"));
  Daemon daemon(site);
  Load load(daemon.address());
  load.wait_for_more(50);
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload", "--json"});
  require_exit(finished, kDone, "no room for even one beside the others");
  // One after the other: the second goes only once the first has its successor.
  std::vector<std::string> order;
  for (const auto& event : events_of(finished.out)) {
    if (event.slot >= 0) order.push_back(event.kind + " " + std::to_string(event.slot));
  }
  INFO(finished.out);
  REQUIRE(order.size() == 8);
  REQUIRE(order.at(0) == "slot_draining 0");
  REQUIRE(order.at(4) == "slot_draining 1");
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v2\n");
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("a reload that fails where memory is short goes back the same way, unnoticed") {
  Site site(probe_group(2));
  const auto flag = site.root() / "bad";
  site.configure(probe_group(2,
                             "    reload: {reserve_memory: 1024GiB}\n"
                             "    settings: {crash_in_v2_at_start_if: " +
                                 flag.string() + "}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  write_file(flag, "");
  Load load(daemon.address());
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kRolledBack, "SIGSEGV");
  REQUIRE(daemon.status().all_ready());
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v1\n");
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("reload --changed with nothing changed is done at once and leaves every worker") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const Untouched before(daemon);
  require_exit(daemon.ctl({"reload", "--changed"}), kDone, "nothing to do");
  before.require_still(daemon);
}

TEST_CASE("reload --changed rolls the groups whose plugin or settings changed, and no others") {
  const auto config = [](const std::string& settings) {
    return "groups:\n" + group("api", "count: 1, settings: {a: " + settings + "}") +
           group("other", "count: 1") + group("third", "count: 1");
  };
  Site site(probe_group(1));
  site.install(probe_v1(), "other");
  site.configure(config("1"));
  Daemon daemon(site);
  const auto api = daemon.pids("api");
  const auto other = daemon.pids("other");
  const auto third = daemon.pids("third");
  site.install(probe_v2(), "other");
  require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  REQUIRE(daemon.pids("api") == api);
  REQUIRE(daemon.pids("third") == third);
  REQUIRE(daemon.pids("other") != other);
  REQUIRE(get(daemon.address("other"), "/").body == "v2\n");

  site.configure(config("2"));
  require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  REQUIRE(daemon.pids("api") != api);
  REQUIRE(daemon.pids("third") == third);
  REQUIRE(get(daemon.address("api"), "/setting?name=a").body == "2\n");
}

TEST_CASE("a group of one worker, without memory for another, keeps new connections waiting") {
  Site site(probe_group(1, "    reload: {reserve_memory: 1024GiB}\n"));
  Daemon daemon(site);
  // Kept connections have nobody to go to; those that come meanwhile wait in the kernel.
  Load load(daemon.address(), {0, 4, 0, 0, 2, 2ms, 100ms, "/"});
  load.wait_for_more(50);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone, "no room for even one");
  load.wait_for_more(50);
  const auto totals = require_unnoticed(load);
  REQUIRE(totals.answers.at("v2") > 0);
}

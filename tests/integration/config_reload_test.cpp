// What a changed configuration does to a daemon that runs: groups and addresses that come and go.
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>

#include "support/daemon.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

std::string group(const std::string& name, int count, const std::string& listen) {
  return "  " + name + ": {plugin: probe, count: " + std::to_string(count) + ", listen: " + listen +
         "}\n";
}

const std::string kAnyPort = "'http://127.0.0.1:0'";
const std::string kGroups = "groups:\n";

bool has_group(const Status& status, const std::string& name) {
  for (const auto& group : status.groups) {
    if (group.name == name) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a reload starts a group that is new in the file, while the others serve on") {
  Site site(probe_group(2));
  Daemon daemon(site);
  Load load(daemon.address());
  site.configure(probe_group(2) + group("more", 2, kAnyPort));
  const auto finished = daemon.ctl({"reload", "--changed", "--json"});
  require_exit(finished, kDone);
  REQUIRE(events_of(finished.out, "group_added", "more").size() == 1);
  const Status status = daemon.status();
  REQUIRE(status.all_ready());
  REQUIRE(status.group("more").ready == 2);
  for (int i = 0; i < 10; ++i) REQUIRE(get(daemon.address("more"), "/").body == "v1\n");
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("a reload ends a group that is gone from the file, after its requests in flight") {
  Site site(kGroups + group("api", 2, kAnyPort) + group("old", 2, kAnyPort));
  Daemon daemon(site);
  const Endpoint old_address = daemon.address("old");
  const auto api = daemon.pids("api");
  Gate gate(site.root());
  Connection client(old_address);
  REQUIRE(client.send(gate.request(old_address)) == Outcome::ok);
  gate.wait_until_reached();
  Load load(daemon.address("api"));

  site.configure(kGroups + group("api", 2, kAnyPort));
  Process reload = daemon.begin_ctl({"reload", "--changed", "--json"});
  eventually("nobody listens there any more", 30s,
             [&] { return get(old_address, "/").outcome == Outcome::refused; });
  REQUIRE(reload.running());
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  const auto exit = reload.wait(30s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{kDone, 0});
  REQUIRE(events_of(reload.out(), "group_removed", "old").size() == 1);
  REQUIRE_FALSE(has_group(daemon.status(), "old"));
  REQUIRE(daemon.pids("api") == api);
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("a reload resizes a group under load, and leaves the workers that stay") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  const auto before = daemon.pids();
  Load load(address);

  site.configure(probe_group(4));
  require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  const auto more = daemon.pids();
  REQUIRE(more.size() == 4);
  REQUIRE(std::vector<pid_t>(more.begin(), more.begin() + 2) == before);
  load.wait_for_more(100);

  site.configure(probe_group(1));
  require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  REQUIRE(daemon.pids() == std::vector<pid_t>{before.front()});
  REQUIRE(daemon.address().text() == address.text());
  load.wait_for_more(100);
  require_unnoticed(load);
}

TEST_CASE("a reload resizes a group and brings it new code at the same time") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Load load(daemon.address());
  site.install(probe_v2());
  site.configure(probe_group(3));
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.pids().size() == 3);
  for (int i = 0; i < 30; ++i) REQUIRE(get(daemon.address(), "/").body == "v2\n");

  site.install(probe_v1());
  site.configure(probe_group(2));
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.pids().size() == 2);
  for (int i = 0; i < 30; ++i) REQUIRE(get(daemon.address(), "/").body == "v1\n");
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("a reload adds addresses and takes them away, while the one that stays is not touched") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const Endpoint first = daemon.address();
  const std::string both = "['http://127.0.0.1:0', 'http://[::1]:0', 'http://unix:run/api.sock']";
  Load load(first);
  Connection kept(first);
  REQUIRE(kept.get("/").ok());

  site.configure(kGroups + group("api", 2, both));
  require_exit(daemon.ctl({"reload"}), kDone);
  const auto listen = daemon.status().group("api").listen;
  REQUIRE(listen.size() == 3);
  REQUIRE(listen.at(0).text() == first.text());
  for (const auto& endpoint : listen) {
    for (int i = 0; i < 10; ++i) {
      INFO(endpoint.text());
      REQUIRE(get(endpoint, "/").ok());
    }
  }
  load.wait_for_more(50);

  site.configure(probe_group(2));
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(daemon.status().group("api").listen.size() == 1);
  REQUIRE(get(listen.at(1), "/").outcome == Outcome::refused);
  REQUIRE_FALSE(get(listen.at(2), "/").ok());
  REQUIRE_FALSE(std::filesystem::exists(site.root() / "run/api.sock"));
  load.wait_for_more(50);
  REQUIRE(kept.get("/").ok());
  REQUIRE(kept.connects() == 1);
  require_unnoticed(load);
}

TEST_CASE("a reload to an address that another program holds is refused, and nothing is touched") {
  Site holder_site(probe_group(1));
  Daemon holder(holder_site);
  const Endpoint taken = holder.address();
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  const auto release = daemon.status().release;
  Load load(daemon.address(), Mix::light());
  const bool by_a_new_group = GENERATE(true, false);
  const std::string config =
      by_a_new_group ? probe_group(2) + group("more", 1, "'" + taken.text() + "'")
                     : kGroups + group("api", 2, "['http://127.0.0.1:0', '" + taken.text() + "']");

  site.install(probe_v2());
  site.configure(config);
  require_exit(daemon.ctl({"reload"}), kRefused, taken.authority());
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().groups.size() == 1);
  REQUIRE(daemon.status().group("api").listen.size() == 1);
  REQUIRE(daemon.status().release == release);
  load.wait_for_more(20);
  REQUIRE(require_unnoticed(load).answers.count("v2") == 0);
}

TEST_CASE("a change under daemon: is refused by name, and nothing is touched") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  const std::string whole = read_whole(site.config_file());
  const std::vector<std::array<std::string, 3>> changes{
      {"state_dir: state", "state_dir: elsewhere", "daemon.state_dir"},
      {"plugins: {dir: plugins}", "plugins: {dir: plugins, keep: 7}", "daemon.plugins"},
      {"level: info", "level: debug", "daemon.log"},
      {"plugins: {dir: plugins}", "plugins: {dir: plugins}\n  bus: {memory: 9MiB}", "daemon.bus"},
      {"socket: run/appserverd.sock", "socket: run/other.sock", "daemon.control.socket"},
  };
  site.install(probe_v2());
  for (const auto& [from, to, named] : changes) {
    std::string changed = whole;
    changed.replace(changed.find(from), from.size(), to);
    write_file(site.config_file(), changed);
    const auto refused = daemon.ctl({"reload"});
    require_exit(refused, kRefused, named);
    REQUIRE(says(refused, "restart of appserverd"));
  }
  REQUIRE(daemon.pids() == pids);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  write_file(site.config_file(), whole);
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("a new group whose plugin is bad is refused together with all the rest") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  site.install(probe_v2());
  write_file(site.plugin("broken"), "no plugin at all");
  site.configure(probe_group(2) + "  more: {plugin: broken, listen: 'http://127.0.0.1:0'}\n");
  require_exit(daemon.ctl({"reload"}), kRefused, "groups.more.plugin");
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().groups.size() == 1);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a new group that does not come up takes the whole reload back") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  const auto release = daemon.status().release;
  Load load(daemon.address());
  write_file(site.root() / "crash", "");
  site.install(probe_v2());
  site.configure(probe_group(2) +
                 "  more:\n    plugin: probe\n    listen: http://127.0.0.1:0\n"
                 "    settings: {crash_at_start_if: " +
                 (site.root() / "crash").string() + "}\n");
  require_exit(daemon.ctl({"reload"}), kRolledBack, "SIGSEGV");
  const Status status = daemon.status();
  REQUIRE_FALSE(has_group(status, "more"));
  REQUIRE(status.all_ready());
  REQUIRE(status.release == release);
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v1\n");
  load.wait_for_more(50);
  require_unnoticed(load);
}

TEST_CASE("two groups cannot trade an address in one reload, which says how it is done") {
  const std::string one = "'http://unix:run/one.sock'";
  const std::string two = "'http://unix:run/two.sock'";
  Site site(kGroups + group("one", 1, one) + group("two", 1, two));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids("one");
  site.configure(kGroups + group("one", 1, two) + group("two", 1, one));
  const auto refused = daemon.ctl({"reload"});
  require_exit(refused, kRefused, "groups.one.listen");
  REQUIRE(says(refused, "take it away there first"));
  REQUIRE(daemon.pids("one") == pids);
  REQUIRE(get(daemon.address("one"), "/").ok());
}

TEST_CASE("an address in a folder that is not there is refused, and no folder is made") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  site.configure(kGroups + group("api", 1, "'http://unix:rnu/api.sock'"));
  for (const auto& verb : {std::vector<std::string>{"reload"}, {"reload", "--dry-run"}})
    require_exit(daemon.ctl(verb), kRefused, "mkdir -p " + (site.root() / "rnu").string());
  REQUIRE_FALSE(std::filesystem::exists(site.root() / "rnu"));
  REQUIRE(daemon.pids() == pids);
  std::filesystem::create_directory(site.root() / "rnu");
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a port that the kernel gave for port 0 is refused by its number, with the way out") {
  Site site(kGroups + group("api", 1, kAnyPort) + group("other", 1, kAnyPort));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids("api");
  const std::string given = daemon.address("api").text();
  const std::string way_out =
      given + " is what the kernel has given group api for port 0, and cannot be opened a second " +
      "time: keep port 0 there, name another port, or restart appserverd";
  site.configure(kGroups + group("api", 1, "'" + given + "'") + group("other", 1, kAnyPort));
  require_exit(daemon.ctl({"reload"}), kRefused, "groups.api.listen: " + way_out);
  require_exit(daemon.ctl({"reload", "--dry-run"}), kRefused, "groups.api.listen: " + way_out);
  const std::string wide = "http://*" + given.substr(given.rfind(':'));
  for (const std::string& listen : {given, wide}) {
    site.configure(kGroups + group("api", 1, kAnyPort) + group("other", 1, "'" + listen + "'"));
    require_exit(daemon.ctl({"reload"}), kRefused, "groups.other.listen: " + way_out);
  }
  REQUIRE(daemon.pids("api") == pids);
  REQUIRE(get(daemon.address("api"), "/").body == "v1\n");
}

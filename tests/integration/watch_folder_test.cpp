// `watch: true`: groups that are dropped into the plugin folder, and what becomes of the folder
// itself.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/answers.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/watched_site.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("NAME.so with NAME.yaml dropped into the folder is a group, until the pair is removed") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  const auto pids = daemon.pids();
  Load load(daemon.address(), Mix::light());
  site.install(probe_v2(), "shop");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\ncount: 2\nsettings: {colour: red}\n");
  const auto has_shop = [](const Status& status) {
    return std::any_of(status.groups.begin(), status.groups.end(),
                       [](const auto& each) { return each.name == "shop"; });
  };
  daemon.wait_for_status("the group is there", [&](const Status& status) {
    return has_shop(status) && status.all_ready() && status.state == "running";
  });
  REQUIRE(daemon.pids("shop").size() == 2);
  const Endpoint shop = daemon.address("shop");
  REQUIRE(get(shop, "/").body == "v2\n");
  REQUIRE(get(shop, "/setting?name=colour").body == "red\n");

  site.install(probe_v1(), "shop");
  wait_for_answer(daemon, "v1", "shop");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\ncount: 1\nsettings: {colour: blue}\n");
  eventually("the settings have changed", 20s, [&] {
    return daemon.pids("shop").size() == 1 &&
           get(daemon.address("shop"), "/setting?name=colour").body == "blue\n";
  });
  fs::remove(site.root() / "plugins/shop.yaml");
  fs::remove(site.root() / "plugins/shop.so");
  daemon.wait_for_status("the group is gone", [&](const Status& status) {
    return !has_shop(status) && status.state == "running";
  });
  REQUIRE(get(shop, "/").outcome == Outcome::refused);
  REQUIRE(daemon.pids() == pids);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
}

TEST_CASE("a dropped pair that gets another name serves on its address again") {
  WatchedSite site;
  site.install(probe_v1(), "old");
  site.drop("old.yaml", "listen: 'http://unix:../run/shop.sock'\n");
  Daemon daemon(site);
  wait_until_watching(daemon);
  wait_for_answer(daemon, "v1", "old");
  const fs::path folder = site.root() / "plugins";
  fs::rename(folder / "old.so", folder / "new.so");
  fs::rename(folder / "old.yaml", folder / "new.yaml");
  daemon.wait_for_status("the new one is there", [](const auto& status) {
    return std::ranges::any_of(status.groups, [](const auto& each) { return each.name == "new"; });
  });
  wait_for_answer(daemon, "v1", "new");
  daemon.wait_for_status("no note is left", [](const auto& status) {
    return !contains(status.text, "listens on") && status.state == "running";
  });
}

TEST_CASE("a group whose NAME.yaml was put back stays, though the folder goes later") {
  WatchedSite site;
  site.install(probe_v2(), "shop");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\n");
  Daemon daemon(site);
  wait_until_watching(daemon);
  for (const char* text : {"rollout", "not watched"}) daemon.expect_error(text);
  const auto pids = daemon.pids("shop");
  const std::string good = read_whole(site.config_file());
  write_file(site.config_file(), good + "  oops: {cuont: 1}\n");
  const fs::path plugins = site.root() / "plugins";
  fs::rename(plugins / "shop.yaml", site.root() / "shop.yaml");
  wait_for_ends(daemon, ": refused after", 1);
  fs::rename(site.root() / "shop.yaml", plugins / "shop.yaml");
  wait_for_ends(daemon, ": refused after", 2);
  fs::rename(plugins, site.root() / "off");
  daemon.wait_for_log("not watched");
  write_file(site.config_file(), good);
  fs::create_directory(plugins);
  fs::permissions(plugins, fs::perms::owner_all);
  wait_for_ends(daemon, ": done after", 2);
  REQUIRE(daemon.pids("shop") == pids);
}

TEST_CASE("a dropped NAME.yaml with a mistake harms nothing, and its place is named") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  site.install(probe_v2(), "shop");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\ncount: many\n");
  daemon.wait_for_log("shop.yaml:2:8");
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().groups.size() == 1);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\ncount: 1\n");
  daemon.wait_for_status("the group is there", [](const Status& status) {
    return status.groups.size() == 2 && status.all_ready();
  });
  REQUIRE(get(daemon.address("shop"), "/").body == "v2\n");
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("nothing is taken from a folder that others can write to, which is said at once") {
  WatchedSite site;
  const fs::path plugins = site.root() / "plugins";
  auto daemon = std::make_unique<Daemon>(site);
  wait_until_watching(*daemon);
  for (const char* text : {"can be written to by others", "refused"}) daemon->expect_error(text);
  const auto pids = daemon->pids();
  fs::permissions(plugins, fs::perms::group_write, fs::perm_options::add);
  const auto unwatched = daemon->wait_for_status(
      "the chmod is noticed", [](const auto& now) { return !notes_in(now).empty(); });
  REQUIRE(contains(notes_in(unwatched).at(0), "not watched"));
  REQUIRE(contains(notes_in(unwatched).at(0), "chmod go-w " + plugins.string()));

  site.install(probe_v2());
  site.install(probe_v2(), "evil");
  site.drop("evil.yaml", "listen: http://127.0.0.1:0\n");
  for (const auto& verb : {std::vector<std::string>{"reload"},
                           {"reload", "api"},
                           {"reload", "--dry-run"},
                           {"restart", "api"}}) {
    const auto by_hand = daemon->ctl(verb);
    INFO(by_hand.text());
    REQUIRE(by_hand.exit.code == 3);
    REQUIRE(contains(by_hand.text(), "chmod go-w " + plugins.string()));
  }
  REQUIRE(::kill(daemon->pid(), SIGHUP) == 0);
  wait_for_ends(*daemon, ": refused after", 5);
  REQUIRE(daemon->pids() == pids);
  REQUIRE(daemon->status().groups.size() == 1);
  REQUIRE(get(daemon->address(), "/").body == "v1\n");
  // Still true, whatever was asked for meanwhile.
  REQUIRE(notes_in(daemon->status()) == notes_in(unwatched));

  daemon.reset();
  daemon = std::make_unique<Daemon>(site);
  daemon->expect_error("can be written to by others");
  daemon->wait_for_log("not watched");
  REQUIRE(daemon->status().groups.size() == 1);
  REQUIRE(get(daemon->address(), "/").body == "v1\n");
  fs::permissions(plugins, fs::perms::group_write, fs::perm_options::remove);
  wait_for_answer(*daemon, "v2");
  daemon->wait_for_status("what was dropped is taken, and no note is left", [](const auto& now) {
    return now.groups.size() == 2 && notes_in(now).empty() && now.state == "running";
  });
}

TEST_CASE("a first start takes no plugin from a watched folder that others can write to") {
  WatchedSite site;
  const fs::path plugins = site.root() / "plugins";
  fs::permissions(plugins, fs::perms::others_write, fs::perm_options::add);
  const auto refused = run({daemon_binary(), "--config", site.config_file()}, 20s);
  INFO(refused.text());
  REQUIRE(refused.exit.code == 1);
  REQUIRE(contains(refused.text(), "groups.api.plugin: "));
  REQUIRE(contains(refused.text(), "chmod go-w " + plugins.string()));
  fs::permissions(plugins, fs::perms::others_write, fs::perm_options::remove);
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a plugin below a watched folder is not taken from a folder that others can write to") {
  WatchedSite site;
  const fs::path inner = site.root() / "plugins" / "build";
  fs::create_directory(inner);
  fs::permissions(inner, fs::perms::group_write, fs::perm_options::remove);
  fs::rename(site.plugin("probe"), inner / "probe.so");
  configure_plugins(site, "watch: true",
                    "groups:\n  api:\n    plugin: " + (inner / "probe.so").string() +
                        "\n    listen: http://127.0.0.1:0\n");
  Daemon daemon(site);
  const auto pids = daemon.pids();
  fs::permissions(inner, fs::perms::group_write, fs::perm_options::add);
  daemon.expect_error("can be written to by others");
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 3);
  REQUIRE(contains(refused.text(), "chmod go-w " + inner.string()));
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a folder that disappears is watched again when it is back, and the note of it goes") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  daemon.expect_error("not watched");
  fs::rename(site.root() / "plugins", site.root() / "away");
  daemon.wait_for_status("it says so", [](const auto& now) {
    return std::any_of(now.notes.begin(), now.notes.end(), [](const auto& note) {
      return contains(note, "not watched") && contains(note, "make the folder");
    });
  });
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  fs::rename(site.root() / "away", site.root() / "plugins");
  daemon.wait_for_status("the note is gone",
                         [](const auto& now) { return now.notes.empty() && !now.rollout.queued; });
  site.install(probe_v2());
  wait_for_answer(daemon, "v2");
  REQUIRE(notes_in(daemon.status()).empty());
}

TEST_CASE("a folder that others can write to for a while is looked at again afterwards") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  daemon.expect_error("can be written to by others");
  fs::permissions(site.root() / "plugins", fs::perms::group_write, fs::perm_options::add);
  site.install(probe_v2());
  daemon.wait_for_log("can be written to by others");
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  fs::permissions(site.root() / "plugins", fs::perms::group_write, fs::perm_options::remove);
  wait_for_answer(daemon, "v2");
}

TEST_CASE("a dropped group that was rolled back stays away until a person wants it") {
  const bool by_itself = GENERATE(false, true);
  INFO(by_itself);
  WatchedSite site(1, "    reload: {confirm_within: 0s}\n");
  Daemon daemon(site);
  wait_until_watching(daemon);
  const auto has_shop = [](const Status& status) {
    return std::any_of(status.groups.begin(), status.groups.end(),
                       [](const auto& each) { return each.name == "shop"; });
  };
  const auto flag = site.root() / "bad";
  site.install(probe_v2(), "shop");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\nsettings: {crash_in_v2_at_start_if: " +
                             flag.string() + "}\n");
  daemon.wait_for_status("the group is there", [&](const Status& status) {
    return has_shop(status) && status.all_ready() && status.state == "running";
  });
  if (by_itself) {
    for (const char* text :
         {"SIGSEGV", "SIGKILL", "crash-loop", "taken back", "ended: ", "  at ", "crash record"}) {
      daemon.expect_error(text);
    }
    // Another release follows, so that the group goes alone.
    REQUIRE(daemon.ctl({"reload", "api"}).exit.code == 0);
    write_file(flag, "");
    REQUIRE(::kill(daemon.pids("shop").at(0), SIGKILL) == 0);
  } else {
    REQUIRE(daemon.ctl({"rollback"}).exit.code == 0);
  }
  const auto is_gone = [&](const Status& status) {
    return !has_shop(status) && status.state == "running";
  };
  daemon.wait_for_status("the group is gone", is_gone, 60s);
  const auto looks = count_in(daemon.log(), ": done after");
  site.install(probe_v1(), "other");
  wait_for_ends(daemon, ": done after", looks + 1);
  REQUIRE(contains(daemon.log(), "is quarantined"));
  REQUIRE(!has_shop(daemon.status()));
}

// A daemon that starts again beside a plugin folder in which something is wrong: what was committed
// runs, also what was dropped there, and what is wrong is said.
#include <algorithm>
#include <catch2/catch.hpp>

#include "support/answers.hpp"
#include "support/http_client.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

constexpr const char* kShop = "listen: http://127.0.0.1:0\n";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Group "api" of the file and the dropped group "shop".
struct DropSite : Site {
  DropSite() : Site(probe_group(1)) {
    configure_plugins(*this, "watch: true", probe_group(1));
    install(probe_v2(), "shop");
    describe(kShop);
  }
  fs::path plugins() const { return root() / "plugins"; }
  void describe(std::string_view text) const { write_file(plugins() / "shop.yaml", text); }
};

// The rollout that looks for what came while nobody watched is over.
void wait_until_watching(const Daemon& daemon) {
  daemon.wait_for_log("rollout r-1: done");
  daemon.wait_for_status("it is idle", [](const auto& now) { return now.state == "running"; });
}

bool has_note(const Status& status, const std::string& begin, const std::string& part) {
  const auto notes = notes_in(status);
  return std::any_of(notes.begin(), notes.end(), [&](const std::string& note) {
    return note.starts_with(begin) && contains(note, part);
  });
}

void require_both_serve(const Daemon& daemon) {
  REQUIRE(get(daemon.address("api"), "/").body == "v1\n");
  REQUIRE(get(daemon.address("shop"), "/").body == "v2\n");
}

void start_and_stop(const DropSite& site) {
  Daemon daemon(site);
  wait_until_watching(daemon);
  require_both_serve(daemon);
}

struct Harm {
  const char* what;
  const char* note;
};

}  // namespace

TEST_CASE("what was dropped and committed runs after a restart, whatever became of its files") {
  const auto harm =
      GENERATE(Harm{"a mistake", "shop.yaml:1:8: "}, Harm{"no plugin", "its shop.so is gone from "},
               Harm{"an empty folder", "`appserverctl reload shop` ends it"});
  INFO(harm.what);
  DropSite site;
  start_and_stop(site);
  const fs::path away = site.root() / "away";
  if (harm.what == std::string("a mistake")) site.describe("count: many\n");
  if (harm.what == std::string("no plugin")) fs::remove(site.plugins() / "shop.so");
  if (harm.what == std::string("an empty folder")) {
    fs::rename(site.plugins(), away);
    fs::create_directory(site.plugins());
  }
  Daemon daemon(site);
  // That the plugin of group api is not there, either, is a matter of its own.
  daemon.expect_error("rollout");
  daemon.wait_for_log("rollout r-1: done");
  require_both_serve(daemon);
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(status.release == 1);
  REQUIRE(has_note(status, "shop: ", harm.note));

  // What is put in order again is a note no more.
  if (harm.what == std::string("an empty folder")) {
    for (const char* name : {"probe.so", "shop.so", "shop.yaml"})
      fs::copy_file(away / name, site.plugins() / name);
  }
  if (harm.what == std::string("no plugin")) site.install(probe_v2(), "shop");
  if (harm.what == std::string("a mistake")) site.describe(kShop);
  daemon.wait_for_status("nothing is noted", [](const Status& now) {
    return notes_in(now).empty() && now.state == "running";
  });
  require_both_serve(daemon);
  // Its end is asked for by somebody who takes its description away.
  fs::remove(site.plugins() / "shop.yaml");
  daemon.wait_for_status("the group is gone", [](const Status& now) {
    return now.groups.size() == 1 && now.state == "running";
  });
}

TEST_CASE("a plugin folder that is missing keeps no daemon from starting, and ends no group") {
  DropSite site;
  start_and_stop(site);
  fs::rename(site.plugins(), site.root() / "away");
  Daemon daemon(site);
  daemon.expect_error("plugins");
  require_both_serve(daemon);
  REQUIRE(has_note(daemon.status(), "shop: ", "which is missing; it runs on"));
  const auto pids = daemon.pids("shop");
  // Group api's plugin is gone with the folder.
  daemon.expect_error("rollout");
  require_exit(daemon.ctl({"reload", "shop"}), kDone, "which is missing; it runs on");
  REQUIRE(daemon.pids("shop") == pids);
  require_both_serve(daemon);
}

TEST_CASE("a group that a start left running although it is gone is ended by a person's reload") {
  DropSite site;
  start_and_stop(site);
  fs::remove(site.plugins() / "shop.yaml");
  Daemon daemon(site);
  wait_until_watching(daemon);
  require_both_serve(daemon);
  require_exit(daemon.ctl({"reload", "shop"}), kDone);
  REQUIRE(daemon.status().groups.size() == 1);
  REQUIRE(notes_in(daemon.status()).empty());
}

TEST_CASE("what is newly dropped and no good keeps no daemon from starting") {
  DropSite site;
  const bool first_start = GENERATE(true, false);
  INFO("first start: " << first_start);
  if (!first_start) start_and_stop(site);
  write_file(site.plugins() / "bad.yaml", "listen: http://127.0.0.1:0\n");
  write_file(site.plugins() / "bad.so", "garbage");
  write_file(site.plugins() / "worse.yaml", "colour: red\n");
  site.install(probe_v1(), "worse");
  site.install(probe_v1(), "good");
  write_file(site.plugins() / "good.yaml", kShop);
  Daemon daemon(site);
  daemon.wait_for_log("rollout r-1: done");
  daemon.wait_for_status("the good one is there", [](const Status& now) {
    return now.groups.size() == 3 && now.all_ready() && now.state == "running";
  });
  require_both_serve(daemon);
  REQUIRE(get(daemon.address("good"), "/").body == "v1\n");
  REQUIRE(has_note(daemon.status(), "bad: ", "its plugin is no good"));
  REQUIRE(has_note(daemon.status(), "worse: ", "worse.yaml:1:1: "));
  // A person who asks whether all is well is told that it is not.
  const auto check = run({daemon_binary(), "--config", site.config_file().string(), "--check"});
  INFO(check.text());
  REQUIRE(check.exit.code == 1);
  REQUIRE(contains(check.err, "worse.yaml:1:1: "));
}

TEST_CASE("a mistake in one description holds up neither the other groups nor its own") {
  DropSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  const auto pids = daemon.pids("shop");
  site.describe("count: many\n");
  daemon.wait_for_log("shop.yaml:1:8");
  site.install(probe_v2());
  daemon.wait_for_status("the other group is taken in", [&](const Status& now) {
    return now.state == "running" && get(daemon.address("api"), "/").body == "v2\n";
  });
  REQUIRE(has_note(daemon.status(), "shop: ", "shop.yaml:1:8: "));
  REQUIRE(daemon.pids("shop") == pids);
  daemon.expect_error("rollout");
  require_exit(daemon.ctl({"reload"}), kRefused, "shop.yaml:1:8: ");
}

TEST_CASE("a plugin that is taken away leaves its dropped group running, and a new one is taken") {
  DropSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  const auto pids = daemon.pids("shop");
  fs::remove(site.plugins() / "shop.so");
  daemon.wait_for_status("it is noted", [](const Status& now) {
    return has_note(now, "shop: ", "its shop.so is gone from ");
  });
  REQUIRE(daemon.pids("shop") == pids);
  site.install(probe_v1(), "shop");
  daemon.wait_for_status("the new one runs", [&](const Status& now) {
    return now.state == "running" && get(daemon.address("shop"), "/").body == "v1\n";
  });
  REQUIRE(notes_in(daemon.status()).empty());
}

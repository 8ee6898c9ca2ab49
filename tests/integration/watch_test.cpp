// `watch: true`: what lands in the plugin folder is reloaded by itself, as carefully as by hand.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/answers.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/watched_site.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

constexpr int kRolledBack = 4;

// As a linker does: what was there is removed, and the new file grows piece by piece.
void link_slowly(const fs::path& file, const std::string& content) {
  fs::remove(file);
  const appserver::os::Fd out(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  REQUIRE(out);
  constexpr std::size_t kPieces = 6;
  for (std::size_t piece = 0; piece < kPieces; ++piece) {
    const std::size_t begin = content.size() * piece / kPieces;
    const std::size_t end = content.size() * (piece + 1) / kPieces;
    const auto size = static_cast<ssize_t>(end - begin);
    REQUIRE(::write(out.get(), content.data() + begin, end - begin) == size);
    // Longer than the folder has to be quiet.
    pause_briefly(400);
  }
  REQUIRE(::fchmod(out.get(), 0755) == 0);
}

}  // namespace

TEST_CASE("a plugin that is replaced in the watched folder is one reload, however it is replaced") {
  const auto* const how = GENERATE("rename", "cp", "link");
  INFO(how);
  WatchedSite site(2);
  Daemon daemon(site);
  wait_until_watching(daemon);
  Load load(daemon.address(), Mix::light());
  if (how == std::string("rename")) site.install(probe_v2());
  if (how == std::string("cp")) site.copy_over(probe_v2());
  if (how == std::string("link")) link_slowly(site.plugin(), read_whole(probe_v2()));
  wait_for_answer(daemon, "v2");
  // One more, so that what the first one may have caused besides has had its time.
  site.install(probe_v1());
  wait_for_answer(daemon, "v1");
  const auto totals = load.stop();
  INFO(totals.text() << daemon.log());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
  const auto history = history_of(daemon);
  REQUIRE(history.size() == 3);
  REQUIRE(contains(std::string(history.at(0).at("who").as_string()), "watch"));
}

TEST_CASE("many files at once are one reload, which leaves alone what has not changed") {
  WatchedSite site;
  for (const char* name : {"b", "c", "d"}) site.install(probe_v1(), name);
  configure_plugins(site, "watch: true", probe_group(1) + group("b") + group("c") + group("d"));
  Daemon daemon(site);
  wait_until_watching(daemon);
  const auto untouched = daemon.pids("d");
  for (const char* name : {"probe", "b", "c"}) site.install(probe_v2(), name);
  wait_for_answer(daemon, "v2", "c");
  for (const char* name : {"api", "b"}) REQUIRE(get(daemon.address(name), "/").body == "v2\n");
  const auto history = history_of(daemon);
  INFO(history << daemon.log());
  REQUIRE(history.size() == 2);
  REQUIRE(daemon.pids("d") == untouched);
}

TEST_CASE("a broken file in the watched folder changes nothing, and the next good one is taken") {
  const auto* const broken = GENERATE("garbage", "half", "undefined_symbol", "fails_self_check");
  INFO(broken);
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  const bool read_at_all = broken != std::string("garbage") && broken != std::string("half");
  if (read_at_all) daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  std::string content;
  if (broken == std::string("garbage")) {
    content = std::string(5000, '\xcc');
  } else if (broken == std::string("half")) {
    content = read_whole(probe_v2());
    content.resize(content.size() / 2);
  } else {
    content = read_whole(fixture(broken));
  }
  write_file(site.plugin(), content);
  daemon.wait_for_log(read_at_all ? "refused after" : "its plugin is no good");
  REQUIRE(daemon.pids() == pids);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(history_of(daemon).size() == 1);
  site.install(probe_v2());
  wait_for_answer(daemon, "v2");
}

TEST_CASE("a build that was rolled back is tried again when it changes, or a person asks") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  for (const char* text :
       {"rollout", "successor failed", "ended: ", "going back", "  at ", "crash record"}) {
    daemon.expect_error(text);
  }
  const auto pids = daemon.pids();
  site.install(fixture("fails_at_start"));
  wait_for_ends(daemon, "rolled back after", 1);

  // Another file that changes: the rollout looks, and leaves it alone.
  const auto looks = count_in(daemon.log(), ": done after");
  site.install(probe_v1(), "other");
  wait_for_ends(daemon, ": done after", looks + 1);
  REQUIRE(count_in(daemon.log(), "rolled back after") == 1);
  // The same content again, too.
  site.install(fixture("fails_at_start"));
  wait_for_ends(daemon, ": done after", looks + 2);
  REQUIRE(count_in(daemon.log(), "rolled back after") == 1);
  REQUIRE(contains(daemon.log(), "quarantined"));

  site.drop("probe.so", variant_of(fixture("fails_at_start"), "changed"));
  wait_for_ends(daemon, "rolled back after", 2);
  const auto by_hand = daemon.ctl({"reload"});
  INFO(by_hand.text());
  REQUIRE(by_hand.exit.code == kRolledBack);
  REQUIRE(contains(by_hand.out, "though it was quarantined"));
  REQUIRE(daemon.pids() == pids);
  site.install(probe_v2());
  wait_for_answer(daemon, "v2");
}

TEST_CASE("what changes while a reload runs is not lost") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  Gate gate(site.root());
  Connection client(daemon.address());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  const auto drains = [](const Status& status) {
    const auto& workers = status.group("api").workers;
    return std::any_of(workers.begin(), workers.end(),
                       [](const auto& worker) { return worker.state == "draining"; });
  };
  site.install(probe_v2());
  daemon.wait_for_status("the old worker drains", drains);
  // A person's request waits already: the folder's has its turn after it.
  Process by_hand(
      {ctl_binary(), "reload", "--force", "api", "--socket", site.control_socket().string()});
  eventually("a person's reload waits", 10s,
             [&] { return contains(by_hand.out() + by_hand.err(), "this one is next"); });
  site.install(probe_v1());
  daemon.wait_for_log("plugin folder has changed", 20s);
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  REQUIRE(by_hand.wait(20s) == Exit{0, 0});
  wait_for_answer(daemon, "v1");
  daemon.wait_for_log("rollout r-4: done");
}

TEST_CASE("what changed in the folder while the daemon was down is taken at its start") {
  WatchedSite site;
  { Daemon daemon(site); }
  site.install(probe_v2());
  site.install(probe_v1(), "shop");
  site.drop("shop.yaml", "listen: http://127.0.0.1:0\n");
  Daemon daemon(site);
  wait_for_answer(daemon, "v2");
  daemon.wait_for_status("the group is there", [](const Status& status) {
    return status.groups.size() == 2 && status.all_ready();
  });
  REQUIRE(get(daemon.address("shop"), "/").body == "v1\n");
  REQUIRE(notes_in(daemon.status()).empty());
}

TEST_CASE("a broken file that came while the daemon was down does not keep it from serving") {
  WatchedSite site;
  { Daemon daemon(site); }
  write_file(site.plugin(), "no plugin");
  Daemon daemon(site);
  daemon.wait_for_log("its plugin is no good");
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  site.install(probe_v2());
  wait_for_answer(daemon, "v2");
}

TEST_CASE("the note of a bad plugin goes when the file is as it was") {
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  const auto says_so = [](const auto& now) {
    return std::any_of(now.notes.begin(), now.notes.end(), [](const auto& note) {
      return contains(note, "api: its plugin is no good");
    });
  };
  write_file(site.plugin(), "no plugin");
  daemon.wait_for_status("it says so", says_so);
  site.install(probe_v1());
  daemon.wait_for_status("the note is gone", [&](const auto& now) { return !says_so(now); });
  REQUIRE(notes_in(daemon.status()).empty());
}

TEST_CASE("what a person has rolled back is not brought in again by the watcher") {
  WatchedSite site;
  {
    Daemon daemon(site);
    wait_until_watching(daemon);
    site.install(probe_v2());
    wait_for_answer(daemon, "v2");
    REQUIRE(daemon.ctl({"rollback"}).exit.code == 0);
    const auto looks = count_in(daemon.log(), ": done after");
    site.install(probe_v1(), "other");
    wait_for_ends(daemon, ": done after", looks + 1);
    REQUIRE(get(daemon.address(), "/").body == "v1\n");
  }
  Daemon daemon(site);
  wait_until_watching(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  // A person may change their mind.
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("a group whose new build is no good does not hold up the others") {
  const auto* const broken = GENERATE("garbage", "fails_self_check", "fails_at_start");
  INFO(broken);
  WatchedSite site;
  site.install(probe_v1(), "b");
  configure_plugins(site, "watch: true", probe_group(1) + group("b"));
  Daemon daemon(site);
  wait_until_watching(daemon);
  for (const char* text :
       {"rollout", "successor failed", "ended: ", "going back", "  at ", "crash record"}) {
    daemon.expect_error(text);
  }
  write_file(site.plugin(),
             broken == std::string("garbage") ? "garbage" : read_whole(fixture(broken)));
  site.install(probe_v2(), "b");
  wait_for_answer(daemon, "v2", "b");
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a build that fails and cannot be put in quarantine is tried once for each change") {
  const auto* const broken = GENERATE("fails_self_check", "fails_at_start");
  INFO(broken);
  const bool starts = broken == std::string("fails_at_start");
  const std::string ended = starts ? "rolled back after" : "refused after";
  WatchedSite site;
  Daemon daemon(site);
  wait_until_watching(daemon);
  for (const char* text : {"rollout", "successor failed", "ended: ", "going back", "  at ",
                           "crash record", "cannot be put in quarantine"}) {
    daemon.expect_error(text);
  }
  fs::create_directory(site.state_dir() / "quarantine.json");
  site.install(fixture(broken));
  wait_for_ends(daemon, ended, 1);
  daemon.wait_for_log(starts ? "is not in quarantine" : "cannot be put in quarantine");
  site.install(probe_v1(), "other");
  wait_for_ends(daemon, ended, 2);
  fs::remove(site.state_dir() / "quarantine.json");
  site.install(probe_v2(), "other");
  wait_for_ends(daemon, ended, 3);
  // From now on it is known, and the look that follows a failure leaves it alone.
  wait_for_ends(daemon, ": done after", 2);
  daemon.wait_for_status("it is idle", [](const auto& now) { return now.state == "running"; });
  REQUIRE(count_in(daemon.log(), ended) == 3);
  REQUIRE(daemon.history().size() == (starts ? 4 : 1));
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

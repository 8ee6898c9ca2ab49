// A daemon that was started where it cannot write its state, and what it makes good once it can.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "support/answers.hpp"
#include "support/http_client.hpp"
#include "support/read_only_disk.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

bool has_note(const Daemon& daemon, const std::string& begin) {
  const auto notes = notes_in(daemon.status());
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& note) { return note.starts_with(begin); });
}

// Release 1 is v1, release 2 is v2.
void run_two_releases(Site& site) {
  Daemon daemon(site);
  site.install(probe_v2());
  require_exit(daemon.ctl({"reload"}), kDone);
}

void expect_unwritable(Daemon& daemon) {
  daemon.expect_error("cannot be written: Read-only file system");
  daemon.expect_error("rollout");
}

bool is_missing(const ReadOnlyDisk& disk) {
  if (disk.mounted()) return false;
  WARN("skipped: a folder cannot be mounted read-only here: " << disk.why_not());
  return true;
}

}  // namespace

TEST_CASE("two daemons never write to one state directory, whichever came first") {
  Site site(probe_group(1));
  run_two_releases(site);
  // As an earlier version leaves it.
  fs::remove(site.state_dir() / ".lock");
  ReadOnlyDisk disk(site.state_dir());
  if (is_missing(disk)) return;
  Daemon first(site);
  expect_unwritable(first);
  disk.end();
  const fs::path other = site.root() / "other.yaml";
  write_file(other,
             "daemon:\n  control: {socket: run/other.sock}\n  state_dir: state\n" + probe_group(1));
  Process second({daemon_binary(), "--config", other.string()});
  eventually("the second one is up", 30s,
             [&] { return (second.out() + second.err()).find("up: ") != std::string::npos; });
  first.expect_error("another appserverd uses the state directory");
  require_exit(first.ctl({"reload"}), kRefused, "another appserverd uses the state directory");
  REQUIRE(first.history().size() == 2);
  REQUIRE(has_note(first, "the state directory "));
  second.signal(SIGTERM);
  REQUIRE(second.wait(20s) == Exit{0, 0});
  require_exit(first.ctl({"reload"}), kDone);
  REQUIRE_FALSE(has_note(first, "the state directory "));
  const auto refused = run({daemon_binary(), "--config", other.string()});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 1);
  REQUIRE(refused.err.find("another appserverd uses the state directory") != std::string::npos);
}

TEST_CASE("once it is mended, what runs is committed, and the note goes with whatever is asked") {
  Site site(probe_group(1));
  run_two_releases(site);
  fs::remove(site.state_dir() / "releases/current.json");
  ReadOnlyDisk disk(site.state_dir());
  if (is_missing(disk)) return;
  Daemon daemon(site);
  expect_unwritable(daemon);
  REQUIRE(daemon.status().release == 2);
  REQUIRE(has_note(daemon, "the state directory "));
  disk.end();
  SECTION("a reload with nothing to do") {
    require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  }
  SECTION("a dry run") { require_exit(daemon.ctl({"reload", "--dry-run"}), kDone); }
  SECTION("what is refused for another reason") {
    require_exit(daemon.ctl({"reload", "nobody"}), kRefused);
  }
  REQUIRE_FALSE(has_note(daemon, "the state directory "));
  REQUIRE(release_of(daemon.history(), 2).committed);

  // What nobody confirms goes back to it.
  site.install(probe_v1());
  daemon.expect_error("release 3 is taken back");
  require_exit(daemon.ctl({"reload", "--confirm-within", "1s"}), kDone);
  daemon.wait_for_status("it is taken back",
                         [](const Status& status) { return status.release == 4; });
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  require_exit(daemon.ctl({"rollback"}), kDone);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
}

TEST_CASE("a note about a group named history stays until that group is as asked") {
  Site site(probe_group(1));
  site.install(probe_v1(), "other");
  site.configure(probe_group(1) +
                 "  history: {plugin: other, listen: 'http://127.0.0.1:0', count: 1}\n");
  { Daemon daemon(site); }
  site.install(probe_v2(), "other");
  Daemon daemon(site);
  REQUIRE(has_note(daemon, "history: "));
  require_exit(daemon.ctl({"reload", "api"}), kDone);
  REQUIRE(has_note(daemon, "history: "));
  require_exit(daemon.ctl({"reload"}), kDone);
  REQUIRE(notes_in(daemon.status()).empty());
}

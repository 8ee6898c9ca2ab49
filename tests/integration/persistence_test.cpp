// What a daemon that is started again runs: what was committed, whatever happened meanwhile.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "support/answers.hpp"
#include "support/census.hpp"
#include "support/http_client.hpp"
#include "support/read_only_disk.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

constexpr int kDone = 0;
constexpr int kRefused = 3;
constexpr int kRolledBack = 4;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void reload(const Daemon& daemon, int exit_code = kDone) {
  const auto finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == exit_code);
}

// All workers run one build, and the answers are its own.
void require_one_whole_release(const Daemon& daemon) {
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(status.all_ready());
  std::set<std::string> builds;
  for (const auto& worker : status.group("api").workers) builds.insert(worker.build);
  REQUIRE(builds.size() == 1);
  std::set<std::string> answers;
  for (int i = 0; i < 8; ++i) answers.insert(get(daemon.address(), "/").body);
  REQUIRE(answers.size() == 1);
  REQUIRE((*answers.begin() == "v1\n" || *answers.begin() == "v2\n"));
}

// A small file system of its own at a folder, where the kernel lets us have one.
class TinyDisk {
 public:
  TinyDisk(fs::path folder, std::size_t bytes) : folder_(std::move(folder)) {
    fs::create_directories(folder_);
    const std::string options = "size=" + std::to_string(bytes) + ",mode=0755";
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!mounted_) why_not_ = std::strerror(errno);
  }
  ~TinyDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& why_not() const { return why_not_; }

  // Leaves room for a file of so many bytes.
  void fill(std::uintmax_t leave = 0) const {
    const appserver::os::Fd file(::creat(filler().c_str(), 0600));
    REQUIRE(file);
    const std::string block(4096, 'x');
    while (::write(file.get(), block.data(), block.size()) > 0) {
    }
    const auto pages = (leave + block.size() - 1) / block.size();
    fs::resize_file(filler(), fs::file_size(filler()) - pages * block.size());
  }
  void empty() const { fs::remove(filler()); }

 private:
  fs::path filler() const { return folder_ / "filler"; }

  fs::path folder_;
  bool mounted_ = false;
  std::string why_not_;
};

void require_note(const Daemon& daemon, const std::string& begin, const std::string& part) {
  const Status status = daemon.status();
  INFO(status.text);
  for (const std::string& note : notes_in(status)) {
    if (note.starts_with(begin) && contains(note, part)) return;
  }
  FAIL("no such note: " << begin << "..." << part);
}

struct Harm {
  const char* what;
  int reload;  // its exit code afterwards
};

}  // namespace

TEST_CASE("after kill -9 the committed build runs, whatever lies in the plugin folder") {
  const auto harm =
      GENERATE(Harm{"garbage", kRefused}, Harm{"nothing", kRefused}, Harm{"v2", kDone});
  INFO(harm.what);
  Site site(probe_group(2));
  std::int64_t release = 0;
  {
    Daemon daemon(site);
    reload(daemon);
    release = release_in(daemon.status());
    daemon.kill();
  }
  if (harm.what == std::string("garbage")) write_file(site.plugin(), std::string(5000, '\xcc'));
  if (harm.what == std::string("nothing")) fs::remove(site.plugin());
  if (harm.what == std::string("v2")) site.install(probe_v2());

  Daemon daemon(site);
  daemon.expect_error("rollout");
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(release_in(status) == release);
  REQUIRE(notes_in(status).size() == 1);
  REQUIRE(contains(notes_in(status).at(0), "api: "));
  REQUIRE(contains(notes_in(status).at(0), "`appserverctl reload api`"));
  REQUIRE(contains(daemon.ctl({"status"}).out, "`appserverctl reload api`"));

  reload(daemon, harm.reload);
  const bool taken = harm.reload == kDone;
  REQUIRE(get(daemon.address(), "/").body == (taken ? "v2\n" : "v1\n"));
  REQUIRE(notes_in(daemon.status()).size() == (taken ? 0 : 1));
  if (taken) return;
  site.install(probe_v2());
  reload(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  REQUIRE(notes_in(daemon.status()).empty());
}

TEST_CASE("a daemon that was stopped starts with what was committed, too, also after a rollback") {
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    site.install(probe_v2());
    reload(daemon);
    REQUIRE(daemon.ctl({"rollback"}).exit.code == kDone);
    REQUIRE(get(daemon.address(), "/").body == "v1\n");
  }
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(notes_in(daemon.status()).size() == 1);
  const auto history = history_of(daemon);
  REQUIRE(history.size() == 3);
  REQUIRE(history.at(0).at("committed").as_bool());
}

TEST_CASE("a supervisor killed at any moment of a reload leaves one whole release") {
  Site site(probe_group(2));
  std::minstd_rand random(20261122);
  milliseconds whole{0};
  {
    Daemon daemon(site);
    site.install(probe_v2());
    const auto begin = Deadline::Clock::now();
    reload(daemon);
    whole = std::chrono::duration_cast<milliseconds>(Deadline::Clock::now() - begin);
  }
  std::optional<std::string> promised;
  for (int round = 0; round < 40; ++round) {
    Daemon daemon(site);
    require_one_whole_release(daemon);
    if (promised) REQUIRE(get(daemon.address(), "/").body == *promised);
    REQUIRE(notes_in(daemon.status()).size() <= 1);
    site.install(round % 2 == 0 ? probe_v1() : probe_v2());
    Process ctl({ctl_binary(), "reload", "--socket", site.control_socket().string()});
    const auto longest = static_cast<unsigned>(whole.count() * 3 / 2) + 1;
    const auto moment = static_cast<int>(static_cast<unsigned>(random()) % longest);
    // Now and then just after it was promised that the new build runs.
    const bool at_the_end = round % 5 == 0;
    INFO("round " << round << ", killed after " << moment << " ms of " << whole.count());
    if (at_the_end) {
      REQUIRE(ctl.wait(20s) == Exit{kDone, 0});
    } else {
      pause_briefly(moment);
    }
    daemon.process().signal(SIGKILL);
    const auto exit = ctl.wait(20s);
    REQUIRE(exit.has_value());
    promised.reset();
    if (*exit == Exit{kDone, 0}) promised = round % 2 == 0 ? "v1\n" : "v2\n";
    daemon.has_ended(Exit{-1, SIGKILL});
  }
  Daemon daemon(site);
  require_one_whole_release(daemon);
  // What was interrupted has left nothing behind.
  for (const auto& entry : fs::recursive_directory_iterator(site.state_dir())) {
    INFO(entry.path());
    const std::string name = entry.path().filename();
    REQUIRE(!name.starts_with(".incoming"));
    REQUIRE(!contains(name, ".tmp"));
  }
  reload(daemon);
}

TEST_CASE("a damaged record is named, and the daemon serves") {
  Site site(probe_group(1));
  {
    Daemon daemon(site);
    site.install(probe_v2());
    reload(daemon);
  }
  const auto file = GENERATE("releases/2.json", "releases/1.json", "releases/current.json",
                             "quarantine.json", "crashes/1.json");
  const auto content = GENERATE("", "{\"release\": ", "\x01\x02\x03");
  INFO(file << ": " << content);
  write_file(site.state_dir() / file, content);
  Daemon daemon(site);
  daemon.expect_error(fs::path(file).filename());
  daemon.expect_error("current.json: the committed release 2 has no record");
  REQUIRE(contains(daemon.log(), file));
  require_one_whole_release(daemon);
  reload(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  const auto newest = history_of(daemon).at(0);
  REQUIRE(newest.at("committed").as_bool());
  REQUIRE(newest.at("number").to_number<int>() >= 3);
}

TEST_CASE("a build that has gone from the store is taken from the plugin file, and this is said") {
  Site site(probe_group(1));
  { Daemon daemon(site); }
  fs::remove_all(site.state_dir() / "store");
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(notes_in(daemon.status()).size() == 1);
  REQUIRE(contains(notes_in(daemon.status()).at(0), "missing from the store"));
}

TEST_CASE("on a full disk a reload fails cleanly, and the old build serves") {
  Site site(probe_group(2));
  const auto plugin_size = fs::file_size(probe_v1());
  TinyDisk disk(site.state_dir(), 8 * plugin_size + (1u << 20));
  if (!disk.mounted()) {
    WARN("skipped: a file system of its own cannot be mounted here: " << disk.why_not());
    return;
  }
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("going back");
  daemon.expect_error("No space left");
  SECTION("the build does not fit") {
    const auto pids = daemon.pids();
    disk.fill();
    site.install(probe_v2());
    const auto failed = daemon.ctl({"reload"});
    INFO(failed.text());
    REQUIRE(failed.exit.code == kRefused);
    REQUIRE(contains(failed.out + failed.err, "No space left"));
    REQUIRE(daemon.pids() == pids);
  }
  SECTION("the build fits, but not the record of its release") {
    site.install(probe_v2());
    disk.fill(fs::file_size(site.plugin()));
    const auto pids = daemon.pids();
    const auto failed = daemon.ctl({"reload"});
    INFO(failed.text());
    REQUIRE(failed.exit.code == kRefused);
    REQUIRE(contains(failed.out + failed.err, "No space left"));
    REQUIRE(daemon.pids() == pids);
  }
  SECTION("the disk fills up while the reload runs") {
    site.configure(probe_group(2, "    reload: {min_ready: 1s}\n"));
    site.install(probe_v2());
    Process reloading = daemon.begin_ctl({"reload", "--json"});
    eventually("the first worker has started", 30s,
               [&] { return contains(reloading.out(), "\"slot_starting\""); });
    disk.fill();
    const auto exit = reloading.wait(60s);
    INFO(reloading.out() << reloading.err());
    REQUIRE(exit == Exit{kRolledBack, 0});
    REQUIRE(contains(reloading.out(), "No space left"));
    REQUIRE(contains(notes_in(daemon.status()).at(0), "history: not all of the end of release 2"));
    site.configure(probe_group(2));
  }
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  require_one_whole_release(daemon);
  disk.empty();
  reload(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  require_one_whole_release(daemon);
  REQUIRE(notes_in(daemon.status()).empty());
  for (const auto& release : daemon.history()) REQUIRE(release.result != "running");
}

TEST_CASE("the store keeps the builds in use and plugins.keep more") {
  Site site(probe_group(1));
  configure_plugins(site, "keep: 2", probe_group(1));
  Daemon daemon(site);
  const auto stored = [&] {
    return std::distance(fs::directory_iterator(site.state_dir() / "store"),
                         fs::directory_iterator());
  };
  for (int round = 0; round < 10; ++round) {
    write_file(site.plugin(), variant_of(probe_v1(), std::to_string(round)));
    reload(daemon);
    // What runs, what ran before, and two more.
    eventually("the store is tidied", 10s, [&] { return stored() <= 4; });
  }
  const auto history = history_of(daemon);
  REQUIRE(history.size() == 11);
  REQUIRE(history.at(0).at("available").as_bool());
  REQUIRE(history.at(1).at("available").as_bool());
  REQUIRE(!history.at(10).at("available").as_bool());
  daemon.expect_error("rollout");
  const auto gone = daemon.ctl({"rollback", "--to", "1"});
  INFO(gone.text());
  REQUIRE(gone.exit.code == kRefused);
  REQUIRE(contains(gone.out + gone.err, "plugins.keep"));
  REQUIRE(daemon.ctl({"rollback"}).exit.code == kDone);
}

TEST_CASE(
    "a daemon starts from a read-only state directory, and reloads again once that is mended") {
  Site site(probe_group(2));
  {
    Daemon daemon(site);
    site.install(probe_v2());
    reload(daemon);
  }
  site.install(probe_v1());
  site.configure(probe_group(1));
  ReadOnlyDisk disk(site.state_dir());
  if (!disk.mounted()) {
    WARN("skipped: a folder cannot be mounted read-only here: " << disk.why_not());
    return;
  }
  Daemon daemon(site);
  daemon.expect_error("cannot be written: Read-only file system");
  daemon.expect_error("rollout");
  require_one_whole_release(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  REQUIRE(daemon.pids().size() == 2);
  require_note(daemon, "the state directory ",
               "Read-only file system; release 2 runs; reloads are");
  require_note(daemon, "api: release 2 runs, whose configuration", "is not that of the file");
  const auto pids = daemon.pids();
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"reload"}, {"reload", "--dry-run"}, {"rollback"}, {"scale", "api", "3"}}) {
    const auto refused = daemon.ctl(verb);
    INFO(refused.text());
    REQUIRE(refused.exit.code == kRefused);
    REQUIRE(contains(refused.out + refused.err, "Read-only file system"));
  }
  REQUIRE(daemon.pids() == pids);
  disk.end();
  reload(daemon);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  REQUIRE(daemon.pids().size() == 1);
  REQUIRE(notes_in(daemon.status()).empty());
}

TEST_CASE(
    "a read-only state directory is not used by two daemons, nor by one with nothing to run") {
  Site site(probe_group(1));
  const bool committed = GENERATE(true, false);
  INFO("something is committed: " << committed);
  std::optional<Daemon> running;
  if (committed) running.emplace(site);
  fs::create_directories(site.state_dir());
  const ReadOnlyDisk disk(site.state_dir());
  if (!disk.mounted()) {
    WARN("skipped: a folder cannot be mounted read-only here: " << disk.why_not());
    return;
  }
  const fs::path other = site.root() / "other.yaml";
  write_file(other,
             "daemon:\n  control: {socket: run/other.sock}\n  state_dir: state\n" + probe_group(1));
  const auto refused = run({daemon_binary(), "--config", other.string()});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 1);
  REQUIRE(contains(refused.err, committed ? "another appserverd uses the state directory"
                                          : "nothing is committed there that could run"));
}

TEST_CASE("a daemon starts on a full disk, and reloads again once there is space") {
  Site site(probe_group(2));
  const auto plugin_size = fs::file_size(probe_v1());
  TinyDisk disk(site.state_dir(), 8 * plugin_size + (1u << 20));
  if (!disk.mounted()) {
    WARN("skipped: a file system of its own cannot be mounted here: " << disk.why_not());
    return;
  }
  { Daemon daemon(site); }
  // A changed file has to be recorded.
  site.configure(probe_group(1));
  const bool to_the_last_byte = GENERATE(true, false);
  INFO("full to the last byte: " << to_the_last_byte);
  disk.fill(to_the_last_byte ? 0 : 70'000);
  if (!to_the_last_byte) {
    // A new group whose build does not fit.
    site.configure(probe_group(1) + "  more:\n    plugin: more\n    listen: http://127.0.0.1:0\n");
    site.install(probe_v2(), "more");
  }
  Daemon daemon(site);
  daemon.expect_error("No space left");
  daemon.expect_error("rollout");
  require_one_whole_release(daemon);
  REQUIRE(daemon.pids().size() == 2);
  require_note(daemon, "the state directory ", "No space left on device; release 1 runs; ");
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == kRefused);
  REQUIRE(contains(refused.out + refused.err, "No space left"));
  REQUIRE(get(daemon.address(), "/").body == "v1\n");
  disk.empty();
  reload(daemon);
  REQUIRE(daemon.pids().size() == 1);
  REQUIRE(notes_in(daemon.status()).empty());
}

// `appserverctl scale`: workers come and go, and no client notices.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "support/answers.hpp"
#include "support/daemon.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/sanitized.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

// Mostly new connections, one after the other without a pause: what a queue that closes would lose.
const Mix kStorm{3, 6, 2, 1, 1, 1ms, 100ms, "/"};

// More than a channel holds messages; a sanitizer's workers are too large for that.
constexpr int kManySlots = kSanitized ? 50 : 300;

void scale(const Daemon& daemon, int count) {
  const auto finished = daemon.ctl({"scale", "api", std::to_string(count)});
  require_exit(finished, kDone);
  const Status status = daemon.status();
  INFO(status.text);
  REQUIRE(status.group("api").count == count);
  REQUIRE(status.group("api").ready == count);
  REQUIRE(status.group("api").state == "ok");
  REQUIRE(daemon.pids().size() == static_cast<std::size_t>(count));
}

}  // namespace

TEST_CASE("a group scales down and up under a storm of connections, and none is lost") {
  Site site(probe_group(3));
  Daemon daemon(site);
  const auto before = daemon.pids();
  Load load(daemon.address(), kStorm);
  load.wait_for_more(200);
  scale(daemon, 1);
  REQUIRE(daemon.pids() == std::vector<pid_t>{before.front()});
  load.wait_for_more(200);
  scale(daemon, 4);
  REQUIRE(daemon.pids().front() == before.front());
  load.wait_for_more(200);
  require_unnoticed(load);
}

TEST_CASE("a slot that is being taken away is neither in backoff nor missing") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const pid_t last = daemon.pids().at(1);
  Connection client(daemon.address());
  eventually("the last slot answers", 10s, [&] {
    client.close();
    return client.get("/").header("X-Pid") == std::to_string(last);
  });
  Gate gate(site.root());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  Process scaling({ctl_binary(), "scale", "api", "1", "--socket", site.control_socket().string()});
  const auto status = daemon.wait_for_status("the last slot drains", [&](const Status& now) {
    const auto& workers = now.group("api").workers;
    return std::any_of(workers.begin(), workers.end(), [&](const auto& worker) {
      return worker.pid == last && worker.state == "draining";
    });
  });
  INFO(status.text);
  REQUIRE(status.group("api").state == "ok");
  REQUIRE(status.group("api").workers.size() == 2);
  gate.open();
  REQUIRE(client.receive().ok());
  REQUIRE(scaling.wait(20s) == Exit{kDone, 0});
  REQUIRE(daemon.status().group("api").workers.size() == 1);
}

TEST_CASE("scaling to and fro many times loses nothing and leaves nothing behind") {
  Site site(probe_group(2));
  Daemon daemon(site);
  Load load(daemon.address(), kStorm);
  for (int round = 0; round < 5; ++round) {
    scale(daemon, 4);
    scale(daemon, 1);
    scale(daemon, 3);
  }
  scale(daemon, 2);
  load.wait_for_more(100);
  require_unnoticed(load);
  REQUIRE(daemon.history().front().committed);
}

TEST_CASE("scaling to what is there already is done at once and changes nothing") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  const auto release = daemon.status().release;
  scale(daemon, 2);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().release == release);
}

TEST_CASE("a scaled group stays so over a reload with an unchanged file, and over a restart") {
  Site site(probe_group(2));
  {
    Daemon daemon(site);
    scale(daemon, 3);
    site.install(probe_v2());
    require_exit(daemon.ctl({"reload"}), kDone);
    REQUIRE(daemon.pids().size() == 3);
    REQUIRE(daemon.status().group("api").count == 3);
    require_exit(daemon.ctl({"reload", "--changed"}), kDone);
    REQUIRE(daemon.pids().size() == 3);
  }
  Daemon daemon(site);
  REQUIRE(daemon.pids().size() == 3);
  site.configure(probe_group(1));
  require_exit(daemon.ctl({"reload", "--changed"}), kDone);
  REQUIRE(daemon.pids().size() == 1);
}

TEST_CASE("workers killed while their group scales come back, and the number is right in the end") {
  Site site(probe_group(3));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  daemon.expect_error("rollout");
  for (const int count : {1, 4, 2}) {
    Process scaling = daemon.begin_ctl({"scale", "api", std::to_string(count)});
    ::kill(daemon.pids().front(), SIGKILL);
    const auto exit = scaling.wait(60s);
    INFO(scaling.out() << scaling.err());
    REQUIRE(exit == Exit{kDone, 0});
    const Status status =
        daemon.wait_for_status("all are ready", [](const Status& now) { return now.all_ready(); });
    REQUIRE(status.group("api").count == count);
    REQUIRE(daemon.pids().size() == static_cast<std::size_t>(count));
    for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").ok());
  }
}

TEST_CASE("a worker killed after scaling down comes back, and no slot beyond the count does") {
  Site site(probe_group(3));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  scale(daemon, 2);
  const pid_t victim = daemon.pids().at(1);
  ::kill(victim, SIGKILL);
  const Status status = daemon.wait_for_status("the worker is back", [&](const Status& now) {
    const auto pids = now.group("api").pids();
    return now.all_ready() && pids.size() == 2 && pids.at(1) != victim;
  });
  REQUIRE(status.group("api").workers.size() == 2);
}

TEST_CASE("a group that is not reloadable scales, too, and keeps its workers") {
  Site site(probe_group(2, "    reloadable: false\n"));
  Daemon daemon(site);
  const auto before = daemon.pids();
  Load load(daemon.address(), Mix::light());
  scale(daemon, 3);
  REQUIRE(daemon.pids().at(0) == before.at(0));
  REQUIRE(daemon.pids().at(1) == before.at(1));
  scale(daemon, 2);
  REQUIRE(daemon.pids() == before);
  require_unnoticed(load);
}

TEST_CASE("new workers of a scaling that do not come up are taken away again") {
  Site site(probe_group(1));
  write_file(site.root() / "none", "");
  std::filesystem::remove(site.root() / "none");
  site.configure(probe_group(
      1, "    settings: {crash_at_start_if: " + (site.root() / "none").string() + "}\n"));
  Daemon daemon(site);
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("rollout");
  const auto before = daemon.pids();
  Load load(daemon.address(), Mix::light());
  write_file(site.root() / "none", "");
  require_exit(daemon.ctl({"scale", "api", "3"}), kRolledBack, "SIGSEGV");
  const Status status = daemon.status();
  REQUIRE(status.group("api").count == 1);
  REQUIRE(status.all_ready());
  REQUIRE(daemon.pids() == before);
  load.wait_for_more(20);
  require_unnoticed(load);
}

TEST_CASE("scaling a group that does not exist, or to none at all, is refused") {
  Site site(probe_group(1));
  Daemon daemon(site);
  daemon.expect_error("nosuch");
  require_exit(daemon.ctl({"scale", "nosuch", "2"}), kRefused, "nosuch");
  constexpr int kUsage = 2;
  require_exit(daemon.ctl({"scale", "api", "0"}), kUsage, "scale");
  REQUIRE(daemon.pids().size() == 1);
}

TEST_CASE("scaling to many slots does not cost a worker that is busy for a while") {
  Site site(probe_group(2));
  site.install(faults());
  Daemon daemon(site);
  const auto before = daemon.pids();
  Connection busy(daemon.address());
  REQUIRE(busy.send(request_text("GET", "/block?ms=1500", busy.endpoint().authority())) ==
          Outcome::ok);
  daemon.wait_for_log("it blocks");
  scale(daemon, kManySlots);
  REQUIRE(busy.receive().ok());
  const auto after = daemon.pids();
  REQUIRE(std::vector<pid_t>(after.begin(), after.begin() + 2) == before);
}

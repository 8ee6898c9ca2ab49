// Workers that are replaced for their number of requests, age or size, or by a person: nobody
// notices.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "support/answers.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

constexpr int kDone = 0;
constexpr int kUsage = 2;
constexpr int kRefused = 3;

// Slots that have two processes: the one that takes over and the one that goes.
std::size_t slots_in_replacement(const GroupStatus& group) {
  std::map<std::int64_t, int> processes;
  for (const auto& worker : group.workers) {
    if (worker.pid != 0) ++processes[worker.slot];
  }
  return static_cast<std::size_t>(std::count_if(processes.begin(), processes.end(),
                                                [](auto& slot) { return slot.second > 1; }));
}

// Looks on until so many workers were recycled: all slots are ready all the time, and at no time
// are two of them in replacement.
void watch_recycling(const Daemon& daemon, std::int64_t wanted, Deadline deadline = 60s) {
  for (;;) {
    const Status status = daemon.status();
    const auto& group = status.group("api");
    INFO(status.text);
    REQUIRE(group.ready == group.count);
    REQUIRE(slots_in_replacement(group) <= 1);
    if (recycled_in(status) >= wanted) return;
    if (deadline.passed()) throw std::runtime_error("too few were recycled:\n" + daemon.log());
    pause_briefly();
  }
}

void require_unnoticed(Load& load) {
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
}

// Of free memory, more than any machine has must stay free.
constexpr const char* kShort = "    reload: {reserve_memory: 1024GiB}\n";

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

void require_build(const Status& status, const std::string& build) {
  for (const auto& worker : status.group("api").workers) REQUIRE(worker.build == build);
}

}  // namespace

TEST_CASE("workers are recycled by max_requests one at a time, start-first and unnoticed") {
  Site site(probe_group(3, "    recycle: {max_requests: 150}\n"));
  Daemon daemon(site);
  const auto before = daemon.pids();
  Load load(daemon.address());
  watch_recycling(daemon, 6);
  require_unnoticed(load);
  const auto after = daemon.pids();
  for (const pid_t pid : after) {
    REQUIRE(std::find(before.begin(), before.end(), pid) == before.end());
  }
  const Status status = daemon.status();
  REQUIRE(status.group("api").restarts == 0);
  REQUIRE(crashes_of(daemon).empty());
  REQUIRE(daemon.log().find("recycling: max_requests (150) reached") != std::string::npos);
}

TEST_CASE("workers are recycled by max_lifetime, unnoticed") {
  Site site(probe_group(2, "    recycle: {max_lifetime: 1s}\n"));
  Daemon daemon(site);
  Load load(daemon.address());
  watch_recycling(daemon, 4);
  require_unnoticed(load);
  REQUIRE(daemon.log().find("recycling: max_lifetime (1 s) reached") != std::string::npos);
}

TEST_CASE("a worker that has grown over max_memory is recycled, unnoticed") {
  Site site(probe_group(2, "    recycle: {max_memory: 400MiB}\n"));
  site.install(faults());
  Daemon daemon(site);
  const auto before = daemon.status();
  Load load(daemon.address(), Mix::light());
  Connection client(daemon.address());
  const auto grown = client.get("/grow?mib=400");
  REQUIRE(grown.ok());
  watch_recycling(daemon, 1);
  require_unnoticed(load);
  // The one that has not grown stays, and the client has not noticed.
  const auto after = daemon.pids();
  REQUIRE(std::find(after.begin(), after.end(), std::stoi(grown.header("X-Pid"))) == after.end());
  for (const pid_t pid : before.group("api").pids()) {
    const bool stays = std::find(after.begin(), after.end(), pid) != after.end();
    REQUIRE(stays == (std::to_string(pid) != grown.header("X-Pid")));
  }
  REQUIRE(client.get("/").ok());
  REQUIRE(client.connects() == 1);
  REQUIRE(daemon.log().find("recycling: max_memory (400 MiB) reached") != std::string::npos);
}

TEST_CASE("where memory is short for one worker more, recycling waits and says so once") {
  Site site(probe_group(2, std::string("    recycle: {max_requests: 50}\n") + kShort));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  Load load(daemon.address(), Mix::light());
  const std::string said = "recycling waits for memory: max_requests (50) reached";
  eventually("both workers wait", 20s, [&] { return count_of(daemon.log(), said) == 2; });
  load.wait_for_more(200);
  REQUIRE(daemon.pids() == pids);
  REQUIRE(daemon.status().all_ready());
  // A person may still have it done.
  REQUIRE(daemon.ctl({"drain", "api/0"}).exit.code == kDone);
  REQUIRE(daemon.pids().at(0) != pids.at(0));
  REQUIRE(daemon.pids().at(1) == pids.at(1));
  require_unnoticed(load);
  REQUIRE(recycled_in(daemon.status()) == 1);
  REQUIRE(count_of(daemon.log(), said + "; a fresh worker needs ") >= 2);
}

TEST_CASE("a worker over max_memory goes first where memory is short, and nobody notices") {
  Site site(probe_group(2, std::string("    recycle: {max_memory: 400MiB}\n") + kShort));
  site.install(faults());
  Daemon daemon(site);
  const auto before = daemon.pids();
  Load load(daemon.address(), Mix::light());
  Connection client(daemon.address());
  const auto grown = client.get("/grow?mib=400");
  REQUIRE(grown.ok());
  const auto after = daemon.wait_for_status("it is replaced", [](const Status& status) {
    return recycled_in(status) == 1 && status.all_ready();
  });
  require_unnoticed(load);
  for (const pid_t pid : before) {
    const auto now = after.group("api").pids();
    const bool stays = std::find(now.begin(), now.end(), pid) != now.end();
    REQUIRE(stays == (std::to_string(pid) != grown.header("X-Pid")));
  }
  REQUIRE(client.get("/").ok());
  REQUIRE(client.connects() == 1);
  REQUIRE(daemon.log().find("so that this one stops first") != std::string::npos);
  REQUIRE(crashes_of(daemon).empty());
}

TEST_CASE("a group's only worker is not ended for its size where memory is short") {
  Site site(probe_group(1, std::string("    recycle: {max_memory: 400MiB}\n") + kShort));
  site.install(faults());
  Daemon daemon(site);
  const auto pids = daemon.pids();
  Connection client(daemon.address());
  REQUIRE(client.get("/grow?mib=400").ok());
  daemon.wait_for_log("no other worker could serve meanwhile");
  REQUIRE(daemon.pids() == pids);
  REQUIRE(client.get("/").ok());
  REQUIRE(client.connects() == 1);
}

TEST_CASE("recycled workers run the committed build, whatever lies in the plugin file") {
  Site site(probe_group(2, "    recycle: {max_requests: 100}\n"));
  Daemon daemon(site);
  const auto build = daemon.status().group("api").workers.at(0).build;
  const auto harm = GENERATE(0, 1, 2);
  if (harm == 0) overwrite_in_place(site.plugin(), std::string(50'000, '\xcc'));
  if (harm == 1) site.copy_over(probe_v2());
  if (harm == 2) std::filesystem::remove(site.plugin());
  Load load(daemon.address(), Mix::light());
  watch_recycling(daemon, 3);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.answers.size() == 1);
  REQUIRE(totals.answers.count("v1") == 1);
  require_build(daemon.status(), build);
}

TEST_CASE("reloads that begin while workers are recycled end well, on the new build") {
  Site site(probe_group(3, "    recycle: {max_requests: 40}\n"));
  Daemon daemon(site);
  Load load(daemon.address());
  for (int round = 0; round < 8; ++round) {
    const auto seen = recycled_in(daemon.status());
    daemon.wait_for_status(
        "a worker is being recycled",
        [&](const Status& status) {
          return slots_in_replacement(status.group("api")) > 0 || recycled_in(status) > seen;
        },
        60s);
    site.install(round % 2 == 0 ? probe_v2() : probe_v1());
    const auto reload = daemon.ctl({"reload"});
    INFO("round " << round << ": " << reload.text());
    REQUIRE(reload.exit.code == kDone);
    // What a recycling that was given up says does not end the story of the reload.
    REQUIRE(reload.out.find("api/2 replaced") != std::string::npos);
    REQUIRE(get(daemon.address(), "/").body == (round % 2 == 0 ? "v2\n" : "v1\n"));
  }
  require_unnoticed(load);
}

TEST_CASE("drain hands a slot over to a fresh worker, unnoticed") {
  Site site(probe_group(3));
  Daemon daemon(site);
  Load load(daemon.address());
  load.wait_for_more(20);
  for (std::size_t slot = 0; slot < 3; ++slot) {
    const auto before = daemon.pids();
    const auto drain = daemon.ctl({"drain", "api/" + std::to_string(slot)});
    INFO(drain.text());
    REQUIRE(drain.exit.code == kDone);
    REQUIRE(drain.out.find("api/" + std::to_string(slot)) != std::string::npos);
    const auto after = daemon.pids();
    REQUIRE(after.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) REQUIRE((after[i] != before[i]) == (i == slot));
    REQUIRE(daemon.status().all_ready());
    load.wait_for_more(20);
  }
  require_unnoticed(load);
  REQUIRE(daemon.status().group("api").restarts == 0);
}

TEST_CASE("drain waits for a request in flight, which the old worker answers") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto before = daemon.pids();
  Gate gate(site.root());
  Connection client(daemon.address());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  Process drain({ctl_binary(), "drain", "api/0", "--socket", site.control_socket().string()});
  daemon.wait_for_status("the old worker drains", [&](const Status& status) {
    const auto& workers = status.group("api").workers;
    return std::any_of(workers.begin(), workers.end(), [&](const auto& worker) {
      return worker.pid == before.at(0) && worker.state == "draining";
    });
  });
  REQUIRE(get(daemon.address(), "/").header("X-Pid") != std::to_string(before.at(0)));
  const auto second = daemon.ctl({"drain", "api/0"});
  INFO(second.text());
  REQUIRE(second.exit.code == kRefused);
  REQUIRE(drain.running());
  gate.open();
  const auto answer = client.receive();
  REQUIRE(answer.header("X-Pid") == std::to_string(before.at(0)));
  const auto exit = drain.wait(20s);
  INFO(drain.out() << drain.err());
  REQUIRE(exit == Exit{kDone, 0});
  REQUIRE(client.get("/").header("X-Pid") == std::to_string(daemon.pids().at(0)));
  REQUIRE(client.connects() == 1);
}

TEST_CASE("a reload that begins while a slot is drained tells of each slot all the same") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const pid_t first = daemon.pids().at(0);
  Connection client(daemon.address());
  eventually("the first slot answers", 10s, [&] {
    client.close();
    return client.get("/").header("X-Pid") == std::to_string(first);
  });
  const auto connects = client.connects();
  Gate gate(site.root());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  Process drain({ctl_binary(), "drain", "api/0", "--socket", site.control_socket().string()});
  daemon.wait_for_status("the old worker drains", [&](const Status& status) {
    return slots_in_replacement(status.group("api")) == 1;
  });
  site.install(probe_v2());
  Process reload({ctl_binary(), "reload", "--socket", site.control_socket().string()});
  daemon.wait_for_status("the reload runs",
                         [](const Status& status) { return status.group("api").reloading; });
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  const auto drained = drain.wait(20s);
  INFO(drain.out() << drain.err());
  REQUIRE(drained.has_value());
  const auto reloaded = reload.wait(20s);
  INFO(reload.out() << reload.err());
  REQUIRE(reloaded == Exit{kDone, 0});
  for (const char* text : {"api/0 replaced", "api/1 replaced", "api done"}) {
    INFO(text);
    REQUIRE(reload.out().find(text) != std::string::npos);
  }
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == connects);
}

TEST_CASE("drain of what is not there is refused, and says what there is") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  const auto no_group = daemon.ctl({"drain", "web/0"});
  INFO(no_group.text());
  REQUIRE(no_group.exit.code == kRefused);
  REQUIRE((no_group.out + no_group.err).find("there is no group 'web'; the groups are: api") !=
          std::string::npos);
  const auto no_slot = daemon.ctl({"drain", "api/2"});
  INFO(no_slot.text());
  REQUIRE(no_slot.exit.code == kRefused);
  REQUIRE((no_slot.out + no_slot.err).find("slots 0 to 1") != std::string::npos);
  for (const char* name : {"api", "api/", "api/x", "/0", "api/-1", "api/99999999999"}) {
    const auto bad = daemon.ctl({"drain", name});
    INFO(bad.text());
    REQUIRE(bad.exit.code == kUsage);
  }
  REQUIRE(daemon.pids() == pids);
}

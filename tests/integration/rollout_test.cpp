// How a reload goes about its work: one slot after the other, the successor first.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

std::ptrdiff_t place(const std::vector<Event>& events, const std::string& kind, std::int64_t slot) {
  const auto found = std::find_if(events.begin(), events.end(), [&](const Event& event) {
    return event.kind == kind && event.slot == slot;
  });
  INFO(kind << " of slot " << slot);
  REQUIRE(found != events.end());
  return found - events.begin();
}

// Looks at a daemon's workers again and again, until it goes.
class Watcher {
 public:
  explicit Watcher(pid_t supervisor)
      : thread_([this, supervisor] {
          std::size_t before = 0;
          while (!stop_) {
            const std::size_t now = children_of(supervisor).size();
            if (now > most_) most_ = now;
            // A look at /proc takes its time: it misses a worker that comes meanwhile and one that
            // goes. The next look has the one that came.
            if (before > 0) fewest_ = std::min(fewest_.load(), std::max(before, now));
            before = now;
            pause_briefly(1);
          }
        }) {}
  ~Watcher() { stop(); }

  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::size_t most() const { return most_; }
  std::size_t fewest() const { return fewest_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> most_{0};
  std::atomic<std::size_t> fewest_{1000};
  std::thread thread_;
};

}  // namespace

TEST_CASE(
    "each slot's successor is ready before its old worker drains, and before the next slot "
    "begins") {
  Site site(probe_group(3));
  Daemon daemon(site);
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload", "--json"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  const auto events = events_of(finished.out);
  for (std::int64_t slot = 0; slot < 3; ++slot) {
    REQUIRE(place(events, "slot_starting", slot) < place(events, "slot_ready", slot));
    REQUIRE(place(events, "slot_ready", slot) < place(events, "slot_replaced", slot));
    if (slot > 0) {
      REQUIRE(place(events, "slot_replaced", slot - 1) < place(events, "slot_starting", slot));
    }
  }
  REQUIRE(events.front().kind == "rollout_started");
  REQUIRE(events.back().kind == "done");
}

TEST_CASE("during a reload there are never fewer workers than before, nor more than surge on top") {
  const int surge = GENERATE(1, 2);
  Site site(probe_group(4, "    reload: {surge: " + std::to_string(surge) + "}\n"));
  Daemon daemon(site);
  site.install(probe_v2());
  Watcher watcher(daemon.pid());
  const auto finished = daemon.ctl({"reload"});
  watcher.stop();
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  REQUIRE(watcher.fewest() >= 4);
  REQUIRE(watcher.most() <= 4 + static_cast<std::size_t>(surge));
}

TEST_CASE(
    "a worker killed within a reload comes back, and the reload ends with a truthful answer") {
  Site site(probe_group(2, "    reload: {min_ready: 1s}\n"));
  Daemon daemon(site);
  daemon.expect_error("SIGKILL");
  const pid_t victim = daemon.pids().at(1);
  site.install(probe_v2());
  Process reload({ctl_binary(), "reload", "--socket", site.control_socket().string()});
  daemon.wait_for_status("the reload runs",
                         [](const Status& status) { return status.group("api").reloading; });
  ::kill(victim, SIGKILL);
  const auto exit = reload.wait(60s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit.has_value());
  const auto after = daemon.wait_for_status(
      "all are ready", [](const Status& status) { return status.all_ready(); });
  const std::string expected = exit->code == 0 ? "v2\n" : "v1\n";
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == expected);
  const auto& workers = after.group("api").workers;
  REQUIRE(workers.at(0).build == workers.at(1).build);
}

TEST_CASE("a generation counts up with each worker that a slot gets") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto generation = [&] { return daemon.status().group("api").workers.at(0).generation; };
  const auto first = generation();
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  const auto second = generation();
  REQUIRE(second > first);
  REQUIRE(daemon.ctl({"restart", "api"}).exit.code == 0);
  REQUIRE(generation() > second);
}

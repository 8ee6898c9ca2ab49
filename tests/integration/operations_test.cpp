// Everything that an operator does, in any order, under load.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

constexpr int kOperations = 14;

class Operator {
 public:
  Operator(Site& site, Daemon& daemon, unsigned seed)
      : site_(site), daemon_(daemon), random_(seed) {}

  // Does something, waits until it is over, and says what it was.
  std::string act() {
    switch (pick(8)) {
      case 0:
        install();
        return ctl({"reload"}, {kDone});
      case 1:
        return ctl({"scale", "api", std::to_string(1 + pick(4))}, {kDone});
      case 2:
        return ctl({"rollback"}, {kDone, kRefused});
      case 3:
        return abort();
      case 4:
        return fail();
      case 5:
        return twice();
      case 6:
        return ctl({"restart", "api"}, {kDone});
      default:
        return canary();
    }
  }

  std::filesystem::path flag() const { return site_.root() / "bad"; }

 private:
  int pick(int choices) { return static_cast<int>(random_() % static_cast<unsigned>(choices)); }
  void install() { site_.install(pick(2) == 0 ? probe_v1() : probe_v2()); }

  std::string ctl(std::vector<std::string> arguments, const std::vector<int>& codes) {
    std::string what;
    for (const auto& each : arguments) what += each + " ";
    const auto finished = daemon_.ctl(std::move(arguments));
    INFO(what << finished.text());
    REQUIRE(std::find(codes.begin(), codes.end(), finished.exit.code) != codes.end());
    return what;
  }

  // Somewhere in its middle, or before it has begun, or too late.
  std::string abort() {
    install();
    ctl({"reload", "--no-wait"}, {kDone});
    pause_briefly(pick(60));
    ctl({"reload", "abort"}, {kDone, kFailed});
    return ctl({"reload", "watch"}, {kDone, kRefused, kRolledBack}) + "after an abort";
  }

  // With one worker there is nobody to compare with.
  std::string canary() {
    install();
    const bool alone = daemon_.status().group("api").count == 1;
    const std::vector<int> codes =
        alone ? std::vector<int>{kRefused} : std::vector<int>{kDone, kRolledBack};
    return ctl({"reload", "--canary", "1", "--hold", "100ms"}, codes);
  }

  std::string fail() {
    site_.install(probe_v1());
    ctl({"reload"}, {kDone});
    site_.install(probe_v2());
    write_file(flag(), "");
    const std::string what = ctl({"reload"}, {kRolledBack});
    std::filesystem::remove(flag());
    return what + "of a build that crashes";
  }

  std::string twice() {
    install();
    Process first = daemon_.begin_ctl({"reload"});
    install();
    Process second = daemon_.begin_ctl({"reload"});
    for (Process* each : {&first, &second}) {
      const auto exit = each->wait(60s);
      INFO(each->out() << each->err());
      REQUIRE(exit == Exit{kDone, 0});
    }
    return "two reloads";
  }

  Site& site_;
  Daemon& daemon_;
  std::minstd_rand random_;
};

}  // namespace

TEST_CASE("reloads, scalings, rollbacks, aborts and failures in any order fail no request") {
  const unsigned seed = GENERATE(1u, 2u, 3u);
  Site site(probe_group(2));
  site.configure(probe_group(2,
                             "    reload: {surge: 2, canary: {min_requests: 1}}\n"
                             "    settings: {crash_in_v2_at_start_if: " +
                                 (site.root() / "bad").string() + "}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("SIGSEGV");
  daemon.expect_error("canary: ");
  Load load(daemon.address(), {3, 3, 1, 1, 1, 5ms, 100ms, "/"});
  Operator person(site, daemon, seed);
  std::string done;
  for (int i = 0; i < kOperations; ++i) {
    done += "\n" + person.act();
    const Status status = daemon.status();
    INFO("seed " << seed << ":" << done << "\n" << status.text);
    const auto& group = status.group("api");
    REQUIRE(status.state == "running");
    REQUIRE(status.all_ready());
    REQUIRE(group.state == "ok");
    REQUIRE(group.pids().size() == static_cast<std::size_t>(group.count));
    for (const auto& worker : group.workers) REQUIRE(group.build.find(worker.build) == 0);
    const auto history = daemon.history();
    REQUIRE(history.front().number >= status.release);
    REQUIRE(release_of(history, status.release).committed);
  }
  load.wait_for_more(50);
  INFO("seed " << seed << ":" << done);
  require_unnoticed(load);
}
